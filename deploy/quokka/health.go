package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// healthCmd is the health check of containers: their image has no shell and no
// other program.
type healthCmd struct {
	URL     []string      `arg:"" placeholder:"URL" help:"http://HOST:PORT/PATH, which must answer 200, or kafka://HOST:PORT, which must answer an ApiVersions request."`
	Timeout time.Duration `default:"2s" help:"How long all of them may take."`
}

// Run asks every address; the error names those that are not well.
func (c *healthCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var errs []error
	for _, address := range c.URL {
		if err := ask(ctx, address); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", address, err))
		}
	}
	return errors.Join(errs...)
}

func ask(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "http", "https":
		return askHTTP(ctx, address)
	case "kafka":
		return askKafka(ctx, u.Host)
	}
	return errors.New("want http://, https:// or kafka://")
}

func askHTTP(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

func askKafka(ctx context.Context, address string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ClientID("quokka-health"))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}
