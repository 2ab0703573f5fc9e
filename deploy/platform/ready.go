package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/roster"
)

// startPatience is how long the parts may take to be ready once all have
// started. A group whose member was killed on another machine waits for its
// session to end.
const startPatience = time.Minute

// check asks a part whether it can do its work.
type check struct {
	part string
	run  func(context.Context) error
}

// awaitReady waits until every part says that it can do its work.
func (p *Platform) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, errNotReady)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	checks := p.ready
	for _, s := range roster.Services() {
		url := p.at.Services[s.Name]
		checks = append(checks, check{s.Name, func(ctx context.Context) error { return readyz(ctx, client, url) }})
	}
	for _, c := range checks {
		for {
			err := c.run(ctx)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				if cause := context.Cause(ctx); !errors.Is(cause, errNotReady) {
					return cause
				}
				return fmt.Errorf("%s %w after %s: %w (the log is in %s)", c.part, errNotReady, startPatience, err, p.cfg.LogFile)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

var errNotReady = errors.New("is not ready")

func readyz(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return nil
}
