package main

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/deploy/term"
)

// servers are servers to use instead of starting them.
type servers struct {
	Kafka    []string `env:"QUOKKA_KAFKA_BROKERS" placeholder:"ADDR" help:"Use this Kafka." group:"Use what is there"`
	Registry string   `env:"QUOKKA_REGISTRY_URL" placeholder:"URL" help:"Use this Confluent-compatible schema registry." group:"Use what is there"`
	Postgres string   `env:"QUOKKA_POSTGRES_URL" placeholder:"URL" help:"Use this PostgreSQL (wal_level=logical); $QUOKKA_POSTGRES_URL_FILE names a file with the URL." group:"Use what is there"`
	Search   string   `env:"QUOKKA_SEARCH_URL" placeholder:"URL" help:"Use this OpenSearch; $QUOKKA_SEARCH_URL_FILE names a file with the URL." group:"Use what is there"`
	OTLP     string   `name:"otlp" env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"Send traces to this OTLP/HTTP collector." group:"Use what is there"`
	Traces   string   `env:"QUOKKA_TRACES_URL" placeholder:"URL" help:"Where those traces can be asked for, by Jaeger's query API." group:"Use what is there"`
}

// listen are the addresses of the parts that are started.
type listen struct {
	BrokerAddr   string `env:"QUOKKA_BROKER_ADDR" placeholder:"ADDR" help:"Kafka broker: 127.0.0.1:9092." group:"Where parts listen (demo takes free ports)"`
	RegistryAddr string `env:"QUOKKA_REGISTRY_ADDR" placeholder:"ADDR" help:"Schema registry: 127.0.0.1:8081." group:"Where parts listen (demo takes free ports)"`
	// ServiceAddrs has a flag for each service, made by serviceFlags.
	ServiceAddrs kong.Plugins `embed:""`
	TracesAddr   string       `env:"QUOKKA_TRACES_ADDR" placeholder:"ADDR" help:"Traces, as Jaeger serves them: 127.0.0.1:16686." group:"Where parts listen (demo takes free ports)"`
	SMTPAddr     string       `name:"smtp-addr" env:"QUOKKA_SMTP_ADDR" placeholder:"ADDR" help:"Mail sink, SMTP: 127.0.0.1:1025." group:"Where parts listen (demo takes free ports)"`
	MailAddr     string       `env:"QUOKKA_MAIL_ADDR" placeholder:"ADDR" help:"Mail sink, HTTP: 127.0.0.1:8025." group:"Where parts listen (demo takes free ports)"`
	PostgresAddr string       `env:"QUOKKA_POSTGRES_ADDR" placeholder:"ADDR" help:"PostgreSQL: 127.0.0.1:54329." group:"Where parts listen (demo takes free ports)"`
}

func (l listen) parts() map[platform.Part]string {
	addrs := map[platform.Part]string{
		platform.Broker: l.BrokerAddr, platform.Registry: l.RegistryAddr, platform.Traces: l.TracesAddr,
		platform.SMTP: l.SMTPAddr, platform.Mail: l.MailAddr, platform.Postgres: l.PostgresAddr,
	}
	for i, s := range roster.Services() {
		addrs[platform.Part(s.Name)] = reflect.ValueOf(l.ServiceAddrs[i]).Elem().Field(0).String()
	}
	return addrs
}

// serviceFlags makes the flag of each service's address: a struct of one field,
// tagged as the fields of listen are.
func serviceFlags() kong.Plugins {
	var flags kong.Plugins
	for _, s := range roster.Services() {
		tag := fmt.Sprintf(`name:"%s-addr" env:%q placeholder:"ADDR" help:"%s service: %s." group:"Where parts listen (demo takes free ports)"`,
			s.Name, s.Variable("ADDR"), strings.ToUpper(s.Name[:1])+s.Name[1:], s.Addr())
		field := reflect.StructField{Name: "Addr", Type: reflect.TypeFor[string](), Tag: reflect.StructTag(tag)}
		flags = append(flags, reflect.New(reflect.StructOf([]reflect.StructField{field})).Interface())
	}
	return flags
}

// platformFlags are what demo and up have in common.
type platformFlags struct {
	Flush       string `env:"QUOKKA_BROKER_FLUSH" enum:",group,interval,os" default:"" placeholder:"POLICY" help:"When the broker's acknowledged records are on disk: group (before, the default), interval or os."`
	BrokerTrace bool   `env:"QUOKKA_BROKER_TRACE" help:"Show the embedded broker's appends and syncs in the traces."`
	Reset       bool   `help:"Start over: delete Quokka's topics, groups, databases and files first."`
	servers
	listen
}

// config is the platform's configuration by flags and environment.
func (f platformFlags) config(out *output) (platform.Config, error) {
	for _, secret := range []struct {
		url  *string
		file string
	}{{&f.Postgres, "QUOKKA_POSTGRES_URL_FILE"}, {&f.Search, "QUOKKA_SEARCH_URL_FILE"}} {
		if err := fromFile(secret.url, secret.file, os.Getenv(secret.file)); err != nil {
			return platform.Config{}, err
		}
	}
	return platform.Config{
		Addrs: f.parts(), Kafka: f.Kafka, RegistryURL: f.Registry, PostgresURL: f.Postgres, SearchURL: f.Search, OTLP: f.OTLP, TracesURL: f.Traces,
		Flush: f.Flush, BrokerTrace: f.BrokerTrace, Reset: f.Reset, Environ: environ(), Notice: slog.New(notices(out.err)),
	}, nil
}

// fromFile reads an address that is not given from the file that a variable names.
func fromFile(url *string, variable, file string) error {
	if *url != "" || file == "" {
		return nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	*url = strings.TrimSpace(string(text))
	return nil
}

// environ is the environment by name.
func environ() map[string]string {
	env := map[string]string{}
	for _, line := range os.Environ() {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	return env
}

// notices prints what a user should know: warnings, as lines without levels.
func notices(p *term.Printer) slog.Handler {
	return slog.NewTextHandler(printing{p}, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	})
}

type printing struct{ p *term.Printer }

func (w printing) Write(line []byte) (int, error) {
	w.p.Printf("  %s", strings.TrimPrefix(string(line), "msg="))
	return len(line), nil
}
