package installation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/services/searchsync"
)

// search keeps the mark in an index of its own beside search-sync's.
type search struct {
	url   string
	admin *kadm.Client
}

const markIndex = searchsync.IndexPrefix + "installation"

func (s search) name() string { return "OpenSearch at " + shown(s.url) }

// shown is an address as it may be shown.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	u.User = nil
	return u.String()
}

func (s search) read(ctx context.Context) (*Mark, error) {
	var doc struct {
		Source Mark `json:"_source"`
	}
	status, err := s.call(ctx, http.MethodGet, "/"+markIndex+"/_doc/mark", nil, &doc)
	switch {
	case status == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w (--search or QUOKKA_SEARCH_URL names it; leave it out to use the embedded index)", err)
	}
	return &doc.Source, nil
}

// write marks indexes that are new to the installation. They lack what
// search-sync has read so far, so it reads its topics again.
func (s search) write(ctx context.Context, m Mark) error {
	if err := readAgain(ctx, s.admin); err != nil {
		return err
	}
	// As search-sync's own: a second node gets a copy.
	settings := map[string]any{"settings": map[string]any{"index": map[string]any{"number_of_shards": 1, "auto_expand_replicas": "0-1"}}}
	if status, err := s.call(ctx, http.MethodPut, "/"+markIndex, settings, nil); err != nil && status != http.StatusBadRequest { // it exists
		return err
	}
	_, err := s.call(ctx, http.MethodPut, "/"+markIndex+"/_doc/mark", m, nil)
	return err
}

// readAgain makes search-sync begin at the start of its topics.
func readAgain(ctx context.Context, admin *kadm.Client) error {
	deleted, err := admin.DeleteGroups(ctx, schemas.GroupSearchSync)
	if err != nil {
		return err
	}
	for _, d := range deleted {
		if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
			return fmt.Errorf("group %s, which has to read everything again: %w (stop search-sync first)", d.Group, d.Err)
		}
	}
	return nil
}

// forget deletes search-sync's indexes and the mark.
func (s search) forget(ctx context.Context) error {
	names := []string{markIndex}
	for _, kind := range searchsync.Kinds {
		names = append(names, searchsync.IndexPrefix+string(kind))
	}
	_, err := s.call(ctx, http.MethodDelete, "/"+strings.Join(names, ",")+"?ignore_unavailable=true", nil, nil)
	return err
}

// AwaitSearch waits, up to the given time, until the OpenSearch at an address
// answers. It tells notice once if that is not at once.
func AwaitSearch(ctx context.Context, address string, patience time.Duration, notice func(error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := search{url: address}
	for first := true; ; first = false {
		_, err := s.call(ctx, http.MethodGet, "/", nil, nil)
		if err == nil {
			return nil
		}
		if first {
			notice(err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", s.name(), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (s search) call(ctx context.Context, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(s.url, "/")+path, body)
	if err != nil {
		return 0, errors.New("the address of OpenSearch cannot be read") // not the text: it may hold a password
	}
	req.Header.Set("Content-Type", "application/json")
	return do(req, out)
}
