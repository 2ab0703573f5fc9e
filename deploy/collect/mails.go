package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/quokka-stream/quokka/deploy/checker"
)

// mailReader is what has been read so far, by the sink's own id of a mail.
type mailReader struct {
	seen  map[string]bool
	mails []checker.Mail
	ids   []string // of mails, by index
}

// pageSize is how many mails are asked for at once.
const pageSize = 500

// readMails reads the mails that arrived since the last time. The list begins
// with the newest and may grow while it is read, which shifts the pages: a mail
// may be seen twice, but none is missed.
func (c *Collector) readMails(ctx context.Context, f *checker.Facts) error {
	r := &c.mails
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	for start := 0; ; start += pageSize {
		var page struct {
			Total    int `json:"total"`
			Messages []struct{ ID, MessageID string }
		}
		path := fmt.Sprintf("/api/v1/messages?start=%d&limit=%d", start, pageSize)
		if _, err := c.getJSON(ctx, base(c.src.MailURL, path), &page); err != nil {
			return err
		}
		fresh := 0
		for _, m := range page.Messages {
			if !r.seen[m.ID] {
				r.seen[m.ID] = true
				r.mails = append(r.mails, checker.Mail{MessageID: strings.Trim(m.MessageID, "<>")})
				r.ids = append(r.ids, m.ID)
				fresh++
			}
		}
		if len(page.Messages) < pageSize || fresh == 0 {
			break
		}
	}
	f.Mails = append([]checker.Mail(nil), r.mails...)
	return c.nameStrangers(ctx, f)
}

// nameStrangers asks for the order of each mail whose Message-ID no event has.
func (c *Collector) nameStrangers(ctx context.Context, f *checker.Facts) error {
	known := map[string]bool{}
	for _, e := range f.Events {
		known[e.ID] = true
	}
	for i, m := range f.Mails {
		event, ours := strings.CutSuffix(m.MessageID, "@quokka.local")
		if ours && known[event] || m.OrderID != "" {
			continue
		}
		var headers map[string][]string
		found, err := c.getJSON(ctx, base(c.src.MailURL, "/api/v1/message/"+url.PathEscape(c.mails.ids[i])+"/headers"), &headers)
		if err != nil {
			return err
		}
		if orders := headers["X-Quokka-Order"]; found && len(orders) > 0 {
			f.Mails[i].OrderID = orders[0]
			c.mails.mails[i].OrderID = orders[0]
		}
	}
	return nil
}

// unsampled asks for no trace: looking at a platform should not push its traces
// out of the store.
const unsampled = "00-000000000000000000000000000000c0-00000000000000c0-00"

// getJSON reads an answer into v; found is false for a 404.
func (c *Collector) getJSON(ctx context.Context, url string, v any) (found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("traceparent", unsampled)
	resp, err := c.http.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	// A body that is not read to its end costs the connection.
	defer func() { _, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) }()
	if resp.StatusCode == http.StatusNotFound {
		return false, nil
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return false, fmt.Errorf("GET %s: %w", url, err)
	}
	return true, nil
}
