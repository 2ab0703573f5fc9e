package mailsink

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// summary is a mail in the list, in the shape of Mailpit's API.
type summary struct {
	ID          string
	MessageID   string
	Read        bool
	From        *address
	To          []address
	Cc          []address
	Bcc         []address
	ReplyTo     []address
	Subject     string
	Created     time.Time
	Username    string
	Tags        []string
	Size        int
	Attachments int
	Snippet     string

	at int64 // where the journal has it
}

type address struct{ Name, Address string }

// snippetLength bounds the text a list shows of a mail.
const snippetLength = 200

// summarise reads what a list shows of a mail. A mail that is no valid message
// is listed with its envelope: it was delivered all the same.
func summarise(d delivery, at int64, number int) summary {
	s := summary{
		ID: strconv.Itoa(number), Created: d.Received, Size: len(d.Raw), at: at,
		From: &address{Address: d.From},
		To:   []address{}, Cc: []address{}, Bcc: []address{}, ReplyTo: []address{}, Tags: []string{},
	}
	for _, to := range d.To {
		s.To = append(s.To, address{Address: to})
	}
	m, err := mail.ReadMessage(bytes.NewReader(d.Raw))
	if err != nil {
		return s
	}
	h := m.Header
	s.MessageID = strings.Trim(strings.TrimSpace(h.Get("Message-Id")), "<>")
	s.Subject = decodeWords(h.Get("Subject"))
	s.Cc, s.ReplyTo = addresses(h, "Cc"), addresses(h, "Reply-To")
	if from := addresses(h, "From"); len(from) > 0 {
		s.From = &from[0]
	}
	if to := addresses(h, "To"); len(to) > 0 {
		s.To = to
	}
	s.Snippet = shorten(plainText(h.Get("Content-Type"), h.Get("Content-Transfer-Encoding"), m.Body))
	return s
}

func addresses(h mail.Header, field string) []address {
	out := []address{}
	list, err := h.AddressList(field)
	if err != nil {
		return out
	}
	for _, a := range list {
		out = append(out, address{Name: a.Name, Address: a.Address})
	}
	return out
}

func decodeWords(s string) string {
	if decoded, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		return decoded
	}
	return s
}

// plainText returns the text of a message or of its first plain-text part.
func plainText(contentType, encoding string, body io.Reader) string {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = "text/plain"
	}
	if strings.HasPrefix(media, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err != nil {
				return ""
			}
			text := plainText(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)
			if text != "" {
				return text
			}
		}
	}
	if media != "text/plain" {
		return ""
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(io.LimitReader(body, 64<<10))
	if err != nil {
		return ""
	}
	return string(text)
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if runes := []rune(text); len(runes) > snippetLength {
		return string(runes[:snippetLength]) + "…"
	}
	return text
}
