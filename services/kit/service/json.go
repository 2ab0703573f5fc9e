package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxBody is the largest request body.
const maxBody = 64 << 10

// ReadJSON decodes a request body into v, strictly: one JSON object of the type
// application/json, without unknown or repeated fields and with nothing after it.
// Its errors are problems.
func ReadJSON(r *http.Request, v any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the body as Content-Type: application/json").
			WithHeader("Accept", "application/json")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return NewProblem(http.StatusRequestEntityTooLarge, "body_too_large", "the body may have %d bytes", large.Limit).
				WithHeader("Connection", "close")
		}
		return NewProblem(http.StatusBadRequest, "incomplete_body", "the body ended early")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return NewProblem(http.StatusBadRequest, "invalid_json", "the body is empty, want a JSON object")
	}
	if err := checkFields(body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return decodeProblem(err)
	}
	return nil
}

func decodeProblem(err error) *Problem {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		p := NewProblem(http.StatusBadRequest, "invalid_type", "%s: want %s, got %s", mismatch.Field, jsonName(mismatch.Type.Kind().String()), mismatch.Value)
		p.Errors = []FieldError{{Field: mismatch.Field, Problem: "has the wrong type"}}
		return p
	}
	// encoding/json has no type for this error.
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		field = strings.Trim(field, `"`)
		p := NewProblem(http.StatusBadRequest, "unknown_field", "the field %q is not known", field)
		p.Errors = []FieldError{{Field: field, Problem: "is not known"}}
		return p
	}
	return NewProblem(http.StatusBadRequest, "invalid_json", "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// jsonName is what JSON calls a Go kind.
func jsonName(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "an integer in range"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "string":
		return "a string"
	case kind == "bool":
		return "true or false"
	case kind == "slice", kind == "array":
		return "a list"
	default:
		return "an object"
	}
}

// checkFields refuses what encoding/json lets pass: fields given twice, also in
// other letter case, and anything after the object. Which of two values counts
// would depend on the reader.
func checkFields(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var seen []map[string]bool // one per open object; nil for a list
	key := true                // in an object: the next string is a field name
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(seen) == 0 {
			return nil
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("it ends in the middle")
			}
			return NewProblem(http.StatusBadRequest, "invalid_json", "the body is not JSON: %s", err)
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				seen = append(seen, map[string]bool{})
				key = true
				continue
			case '[':
				seen = append(seen, nil)
			case '}', ']':
				seen = seen[:len(seen)-1]
			}
		case string:
			if key && len(seen) > 0 && seen[len(seen)-1] != nil {
				fold := strings.ToLower(token)
				if seen[len(seen)-1][fold] {
					p := NewProblem(http.StatusBadRequest, "duplicate_field", "the field %q is given twice", token)
					p.Errors = []FieldError{{Field: token, Problem: "is given twice"}}
					return p
				}
				seen[len(seen)-1][fold] = true
				key = false
				continue
			}
		}
		if len(seen) == 0 {
			if d.More() {
				return NewProblem(http.StatusBadRequest, "invalid_json", "there is something after the JSON object")
			}
			if _, ok := token.(json.Delim); !ok {
				return NewProblem(http.StatusBadRequest, "invalid_json", "want a JSON object, got %s", describe(token))
			}
		}
		key = true
	}
}

func describe(token json.Token) string {
	if token == nil {
		return "null"
	}
	return fmt.Sprintf("%v", token)
}

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode response: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return nil
}
