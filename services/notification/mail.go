package notification

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

// ErrRefused says that a mail server will never take a mail for this address:
// trying again is of no use until the address is another.
var ErrRefused = errors.New("address refused")

// Sender hands a mail to a mail server and returns nil once the server has
// taken responsibility for it. An error that wraps ErrRefused is final, any other
// may pass.
type Sender interface {
	Send(ctx context.Context, m Mail) error
}

// sender's address is the From of every mail.
const senderAddress = "orders@quokka.local"

// sendTimeout bounds one delivery: the database transaction of the event stays
// open for as long.
const sendTimeout = 10 * time.Second

// smtpSender speaks SMTP to one server, without TLS: the server is the sink on
// loopback, or a relay beside the service.
type smtpSender struct {
	host string
	port int
}

// NewSMTPSender sends through the server at addr, host:port.
func NewSMTPSender(addr string) (Sender, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("QUOKKA_SMTP_ADDR is %q, want host:port: %w", addr, err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, fmt.Errorf("QUOKKA_SMTP_ADDR is %q, want a numeric port: %w", addr, err)
	}
	return &smtpSender{host: host, port: port}, nil
}

// Send implements Sender.
func (s *smtpSender) Send(ctx context.Context, m Mail) error {
	msg := mail.NewMsg()
	if err := msg.FromFormat("Quokka", senderAddress); err != nil {
		return fmt.Errorf("mail from: %w", err)
	}
	if err := msg.AddToFormat(m.Name, m.To); err != nil {
		return fmt.Errorf("mail to %q: %w: %w", m.To, ErrRefused, err)
	}
	msg.SetMessageIDWithValue(m.MessageID)
	msg.SetDate()
	msg.SetGenHeader("X-Quokka-Order", m.OrderID)
	msg.Subject(m.Subject)
	msg.SetBodyString(mail.TypeTextPlain, m.Body)

	client, err := mail.NewClient(s.host, mail.WithPort(s.port), mail.WithTLSPolicy(mail.NoTLS),
		mail.WithTimeout(sendTimeout), mail.WithoutNoop(), mail.WithHELO("notification.quokka.local"))
	if err != nil {
		return fmt.Errorf("mail client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		if refused(msg) {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return fmt.Errorf("mail server %s:%d: %w", s.host, s.port, err)
	}
	return nil
}

// refused reports whether the server answered the recipient with a permanent
// error, 5yz of RFC 5321 §4.2.1.
func refused(msg *mail.Msg) bool {
	var failed *mail.SendError
	return errors.As(msg.SendError(), &failed) && failed.Reason == mail.ErrSMTPRcptTo && failed.ErrorCode() >= 500
}
