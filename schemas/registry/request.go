package registry

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// request is an HTTP request and the context its path named.
type request struct {
	*http.Request
	s       *Server
	context string
}

// decode reads a JSON body that may have these fields, null where they are
// unset. Clients that know more fields than this registry say so in a header.
func (r *request) decode(into any, fields []string) error {
	if typ := r.Header.Get("Content-Type"); typ != "" {
		name, _, err := mime.ParseMediaType(typ)
		if err != nil || name != "application/octet-stream" && !slices.Contains(contentTypes, name) {
			return errorf(415, 415, "HTTP 415 Unsupported Media Type: send %s", contentTypes[0])
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return err
		}
		return errorf(400, 400, "The request body could not be read: %v", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		if len(strings.TrimSpace(string(body))) == 0 {
			return errorf(422, 422, "The request body is empty")
		}
		return errorf(400, 400, "The request body is not a JSON object: %v", err)
	}
	if members == nil {
		return errorf(422, 422, "The request body is null")
	}
	if !strings.EqualFold(r.Header.Get("Confluent-Accept-Unknown-Properties"), "true") {
		for name := range members {
			if !slices.Contains(fields, name) {
				return errorf(422, 422, "Unrecognized field: %s", name)
			}
		}
	}
	if update, ok := into.(*settingsUpdate); ok {
		update.fields = map[string]json.RawMessage{}
		for _, name := range fields {
			if v, ok := members[name]; ok {
				update.fields[name] = v
			}
		}
		return nil
	}
	// encoding/json matches names in any case; JSON for registries does not.
	exact := make(map[string]json.RawMessage, len(fields))
	for _, name := range fields {
		if v, ok := members[name]; ok {
			exact[name] = v
		}
	}
	if err := json.Unmarshal(marshal(exact), into); err != nil {
		return errorf(400, 400, "The request body does not fit: %v", err)
	}
	return nil
}

// subject reads a subject from the path: in the context of the path, and what
// an alias stands for.
func (r *request) subject() string {
	var name string
	r.s.store.view(func(st *state) { name = r.subjectIn(st) })
	return name
}

func (r *request) subjectIn(st *state) string {
	name := r.scope()
	if target := st.settings[name].Alias; target != "" {
		return relativeTo(name, target)
	}
	return name
}

// scope reads what settings are about from the path: a subject or a context.
func (r *request) scope() string { return r.qualify(r.PathValue("subject")) }

// qualify puts a subject without a context into the context of the path.
func (r *request) qualify(subject string) string {
	q := parseSubject(subject)
	if q.context == defaultContext {
		q.context = r.context
	}
	return q.String()
}

// version reads a version from the path: a number, or "latest".
func (r *request) version() (int, error) {
	text := strings.TrimSpace(r.PathValue("version"))
	if strings.EqualFold(text, "latest") {
		return latestVersion, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 && n != latestVersion {
		return 0, errInvalidVersion(r.PathValue("version"))
	}
	return int(n), nil
}

// id reads a schema id from the path.
func (r *request) id() (int, error) {
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		return 0, errorf(404, 404, "HTTP 404 Not Found: %q is not a schema id", r.PathValue("id"))
	}
	return int(n), nil
}

// flag reads a boolean parameter of the query.
func (r *request) flag(name string) bool { return strings.EqualFold(r.URL.Query().Get(name), "true") }

// page cuts a list by the parameters offset and limit; most is the default and
// largest limit, 0 for none.
func page[T any](r *request, list []T, most int) ([]T, error) {
	offset, err := r.number("offset", 0)
	if err != nil {
		return nil, err
	}
	limit, err := r.number("limit", -1)
	if err != nil {
		return nil, err
	}
	if limit <= 0 || most > 0 && limit > most {
		limit = most
	}
	if offset < 0 {
		offset = 0
	}
	list = list[min(offset, len(list)):]
	if limit > 0 {
		list = list[:min(limit, len(list))]
	}
	if list == nil {
		list = []T{}
	}
	return list, nil
}

func (r *request) number(name string, otherwise int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, errorf(404, 404, "HTTP 404 Not Found: parameter %s=%q is not a number", name, text)
	}
	return int(n), nil
}
