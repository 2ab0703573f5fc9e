// Package service is what every service's program is made of: configuration from
// the environment, an HTTP server with limits, health, and an ordered shutdown.
//
// A service package has
//
//	type Config struct {
//		service.Config
//		Addr     string       `env:"QUOKKA_ORDER_ADDR" envDefault:"127.0.0.1:8101" help:"..."`
//		Listener net.Listener `env:"-"`
//	}
//	func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (*Service, error)
//	func (s *Service) Addr() string
//	func (s *Service) Run(ctx context.Context) error
//
// and a main of one line: service.Main("order", order.New). Tests and `quokka up`
// call New and Run themselves, with a listener of their own.
package service
