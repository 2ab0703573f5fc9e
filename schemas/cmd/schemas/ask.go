package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// askRegistry checks a schema against all versions of a subject and returns the
// registry's reasons to refuse it.
func askRegistry(ctx context.Context, base, subject, schema string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]string{"schema": schema})
	if err != nil {
		return nil, err
	}
	target := strings.TrimSuffix(base, "/") + "/compatibility/subjects/" + url.PathEscape(subject) + "/versions?verbose=true"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	var result struct {
		Compatible bool     `json:"is_compatible"`
		Messages   []string `json:"messages"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return nil, fmt.Errorf("not a registry's answer: %w", err)
	}
	if result.Compatible {
		return nil, nil
	}
	if len(result.Messages) == 0 {
		return []string{"incompatible, without a reason given"}, nil
	}
	return result.Messages, nil
}
