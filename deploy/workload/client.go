package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// patience is how long one request is tried unless somebody says otherwise.
const patience = 30 * time.Second

// client speaks JSON over HTTP and does not give up on a request because of
// one failed attempt.
type client struct {
	http *http.Client
	// patience bounds all attempts of one request.
	patience time.Duration
}

// problem is an RFC 9457 answer.
type problem struct {
	Status int    `json:"-"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string {
	text := p.Title
	if p.Detail != "" {
		text = p.Detail
	}
	return fmt.Sprintf("HTTP %d %s: %s", p.Status, p.Code, text)
}

// isCode reports whether err is a problem with this code.
func isCode(err error, code string) bool {
	var p *problem
	return errors.As(err, &p) && p.Code == code
}

// call sends a request until it is answered: a broken connection and an answer
// that blames the server are tried again, which every request here allows:
// it carries an Idempotency-Key or sets a state.
func (c *client) call(ctx context.Context, method, url string, header map[string]string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := c.once(ctx, method, url, header, body, out)
		if err == nil || !retriable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s %s: %w", method, url, err)
		case <-time.After(wait):
		}
	}
}

func retriable(err error) bool {
	var p *problem
	if !errors.As(err, &p) {
		return true
	}
	return p.Status >= 500 || p.Status == http.StatusTooManyRequests || p.Status == http.StatusRequestTimeout
}

func (c *client) once(ctx context.Context, method, url string, header map[string]string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		p := &problem{Title: http.StatusText(resp.StatusCode)}
		_ = json.Unmarshal(answer, p) // an answer that is no problem document keeps the status text
		p.Status = resp.StatusCode
		return p
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &problem{Status: resp.StatusCode, Title: fmt.Sprintf("the answer is no JSON: %v", err)}
	}
	return nil
}
