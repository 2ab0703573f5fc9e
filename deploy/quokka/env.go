package main

import (
	"net/url"
	"strings"

	"github.com/quokka-stream/quokka/deploy/roster"
)

// envCmd prints a running platform's addresses as a shell sets variables, so
// that other programs, and the platform's own parts, find it.
type envCmd struct {
	target
}

func (envCmd) Help() string {
	return `Example:
  eval "$(quokka env)"
  quokka inventory                 one more member of the group, on the running platform
  psql quokka_order -c 'select * from orders limit 5'

The output holds PostgreSQL's password.`
}

// Run prints the variables.
func (c *envCmd) Run(out *output) error {
	at, err := c.running()
	if err != nil {
		return err
	}
	var variables [][2]string
	for _, s := range roster.Services() {
		variables = append(variables, [2]string{s.Variable("URL"), at.Services[s.Name]})
	}
	variables = append(variables, [][2]string{
		{"QUOKKA_KAFKA_BROKERS", at.KafkaText()}, {"QUOKKA_REGISTRY_URL", at.RegistryURL}, {"QUOKKA_POSTGRES_URL", at.PostgresURL},
		{"QUOKKA_SMTP_ADDR", at.SMTP}, {"QUOKKA_MAIL_URL", at.MailURL}, {"QUOKKA_TRACES_URL", at.TracesURL},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", at.OTLP},
	}...)
	// libpq's, for psql and pg_dump.
	if u, err := url.Parse(at.PostgresURL); err == nil && u.User != nil {
		password, _ := u.User.Password()
		variables = append(variables, [][2]string{
			{"PGHOST", u.Hostname()}, {"PGPORT", u.Port()}, {"PGUSER", u.User.Username()}, {"PGPASSWORD", password},
		}...)
	}
	for _, v := range variables {
		if v[1] != "" {
			out.out.Printf("export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
		}
	}
	return nil
}
