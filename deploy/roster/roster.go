// Package roster lists the services of the platform, once: `quokka demo` and
// `quokka up` start what is listed here, each has a command of its own, a port,
// an option and a variable for its address, and where it needs one a database.
// All of that follows from the service's configuration.
//
// `quokka new service` adds its line here.
package roster

import (
	"context"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/services/inventory"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/notification"
	"github.com/quokka-stream/quokka/services/order"
	"github.com/quokka-stream/quokka/services/searchsync"
)

// services are in the order in which they are shown.
var services = []Service{
	entry(order.Name, order.New, func(c *order.Config, l net.Listener) { c.Listener = l }),
	entry(inventory.Name, inventory.New, func(c *inventory.Config, l net.Listener) { c.Listener = l }),
	entry(notification.Name, notification.New, func(c *notification.Config, l net.Listener) { c.Listener = l }),
	entry(searchsync.Name, searchsync.New, func(c *searchsync.Config, l net.Listener) { c.Listener = l }),
}

// Service is one service.
type Service struct {
	// Name is its name in commands and telemetry, such as search-sync.
	Name string
	// Config is the zero value of its configuration, for its variables.
	Config any
	// Start starts it as its own program would: configured by environ, but on
	// listener if that is not nil, and reporting through what makeTelemetry returns
	// for the part of its configuration that all services share. It serves once Run
	// is called.
	Start func(ctx context.Context, environ map[string]string, listener net.Listener, makeTelemetry func(service.Config) (*telemetry.Telemetry, error)) (service.Service, error)
}

// entry describes a service by its constructor; listen sets the listener in its
// configuration.
func entry[C service.Configured, S service.Service](
	name string, create func(context.Context, C, *telemetry.Telemetry) (S, error), listen func(*C, net.Listener),
) Service {
	var zero C
	return Service{
		Name: name, Config: zero,
		Start: func(ctx context.Context, environ map[string]string, listener net.Listener, makeTelemetry func(service.Config) (*telemetry.Telemetry, error)) (service.Service, error) {
			cfg, err := service.Load[C](environ)
			if err != nil {
				return nil, err
			}
			listen(&cfg, listener)
			tel, err := makeTelemetry(cfg.Base())
			if err != nil {
				return nil, err
			}
			return create(ctx, cfg, tel)
		},
	}
}

// Services returns the services of the platform.
func Services() []Service { return slices.Clone(services) }

// Databases are those of the services, each owned by the role of the same name.
func Databases() []string {
	var out []string
	for _, s := range services {
		if name := s.Database(); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// Variable is the environment variable of a service, such as QUOKKA_SEARCH_SYNC_ADDR.
func (s Service) Variable(what string) string {
	return "QUOKKA_" + strings.ReplaceAll(strings.ToUpper(s.Name), "-", "_") + "_" + what
}

// Addr is where the service listens by default.
func (s Service) Addr() string { return s.defaultOf(s.Variable("ADDR")) }

// Port is the default port.
func (s Service) Port() int {
	_, port, _ := net.SplitHostPort(s.Addr())
	n, _ := strconv.Atoi(port)
	return n
}

// Database is the name of the service's database by default, "" if it has none.
func (s Service) Database() string { return s.defaultOf(s.Variable("DATABASE")) }

// defaultOf reads a default from the tags of the configuration.
func (s Service) defaultOf(variable string) string {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(s.Config)) {
		if f.Tag.Get("env") == variable {
			return f.Tag.Get("envDefault")
		}
	}
	return ""
}
