package service

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Config is what all services have in common. Each variable's help tag is its
// line in the documentation.
type Config struct {
	KafkaBrokers    []string            `env:"QUOKKA_KAFKA_BROKERS" envDefault:"127.0.0.1:9092" help:"Kafka bootstrap addresses, separated by commas"`
	RegistryURL     string              `env:"QUOKKA_REGISTRY_URL" envDefault:"http://127.0.0.1:8081" help:"Confluent-compatible schema registry"`
	PostgresURL     string              `env:"QUOKKA_POSTGRES_URL" help:"PostgreSQL server; each service uses a database of its own on it"`
	PostgresURLFile string              `env:"QUOKKA_POSTGRES_URL_FILE" help:"file with the PostgreSQL URL, where it should not be in the environment"`
	PostgresConns   int32               `env:"QUOKKA_POSTGRES_CONNS" envDefault:"8" help:"connections of each service to its database"`
	OTLPEndpoint    string              `env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"OTLP/HTTP collector for traces, such as http://127.0.0.1:4318; none: traces are not exported"`
	TraceRatio      float64             `env:"QUOKKA_TRACE_RATIO" envDefault:"1" help:"share of new traces that are recorded, 0 to 1"`
	TraceProcess    telemetry.Parentage `env:"QUOKKA_TRACE_PROCESS" envDefault:"parent" help:"how the span of a consumer belongs to the one that sent its message: parent (one order is one trace) or link (a trace of its own, linked)"`
	LogLevel        slog.Level          `env:"QUOKKA_LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	ShipLogs        bool                `env:"QUOKKA_SHIP_LOGS" envDefault:"true" help:"also send log lines to the topic logs.v1"`
	HTTPRate        float64             `env:"QUOKKA_HTTP_RATE" envDefault:"0" help:"HTTP requests per second that one client address may make, in bursts of twice as many; 0: no limit"`
	// ConsumerSession is the consumer's SessionTimeout, 0 for its default. For tests:
	// a machine that stands still for a while loses no member of a group then.
	ConsumerSession time.Duration `env:"-"`
}

// SampleRatio is TraceRatio as telemetry takes it, where zero means the default.
func (c Config) SampleRatio() float64 {
	if c.TraceRatio == 0 {
		return telemetry.SampleNone
	}
	return c.TraceRatio
}

// Base returns the common part: what embeds Config has it too.
func (c Config) Base() Config { return c }

// Configured is a configuration that embeds Config.
type Configured interface{ Base() Config }

// Load reads a configuration from environ, such as env.ToMap(os.Environ()).
func Load[C any](environ map[string]string) (C, error) {
	cfg, err := env.ParseAsWithOptions[C](env.Options{Environment: environ})
	if err != nil {
		return cfg, fmt.Errorf("configuration: %w", err)
	}
	if base := baseOf(&cfg); base != nil && base.PostgresURL == "" && base.PostgresURLFile != "" {
		url, err := os.ReadFile(base.PostgresURLFile)
		if err != nil {
			return cfg, fmt.Errorf("QUOKKA_POSTGRES_URL_FILE: %w", err)
		}
		base.PostgresURL = strings.TrimSpace(string(url))
	}
	return cfg, nil
}

// baseOf finds the embedded Config of a pointer to a configuration.
func baseOf(cfg any) *Config {
	if c, ok := cfg.(*Config); ok {
		return c
	}
	v := reflect.ValueOf(cfg).Elem()
	if v.Kind() != reflect.Struct {
		return nil
	}
	if f := v.FieldByName("Config"); f.IsValid() && f.CanAddr() {
		if c, ok := f.Addr().Interface().(*Config); ok {
			return c
		}
	}
	return nil
}

// Variable is one environment variable of a configuration.
type Variable struct {
	Name    string
	Default string
	Help    string
}

// Variables lists the environment variables of a configuration struct, in the
// order of its fields, embedded ones included. A field with an env tag and no help
// tag is an error: the documentation is made from them.
func Variables(cfg any) ([]Variable, error) {
	t := reflect.TypeOf(cfg)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var out []Variable
	var errs []error
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		switch {
		case name == "-":
		case name != "":
			help := f.Tag.Get("help")
			if help == "" {
				errs = append(errs, fmt.Errorf("%s.%s: %s has no help tag", t, f.Name, name))
			}
			out = append(out, Variable{Name: name, Default: f.Tag.Get("envDefault"), Help: help})
		case f.Type.Kind() == reflect.Struct:
			inner, err := Variables(reflect.Zero(f.Type).Interface())
			out, errs = append(out, inner...), append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}
