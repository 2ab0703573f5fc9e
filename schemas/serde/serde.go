// Package serde puts events on the wire and takes them off it, in Confluent's
// wire format: a zero byte, the id of the writer's schema as four bytes
// big-endian, the value in Avro.
//
// A producer never registers a schema on the way: it calls Check before it
// starts and refuses to run with a schema the registry does not have. `quokka
// schemas apply` registers them, after `schemas check` has refused what would
// break a reader. Change data capture, whose schemas come from tables, is the
// one exception, by Register and EncodeWith.
//
// What can go wrong when reading has types by which a consumer decides:
//
//	*UnavailableError  the registry does not answer: wait, then again
//	*UnknownIDError    not in this registry: again a few times, then give up
//	*UnknownTypeError  not an event this program knows: acknowledge and count
//	*DecodeError       not what its schema says: give up at once
package serde

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/internal/refusal"
	"github.com/quokka-stream/quokka/schemas/internal/rest"
)

// headerSize is the length of magic byte and schema id.
const headerSize = 5

// Serde is safe for concurrent use.
type Serde struct {
	client  *rest.Client
	topics  map[string]schemas.Topic
	writers *cache[writerKey, writer]
	readers *cache[int, *reader]
	unknown unknownIDs
}

// config is what options change.
type config struct {
	rest    rest.Config
	cached  int
	unknown time.Duration
	topics  []schemas.Topic
}

// Option changes a default.
type Option func(*config)

// WithTransport sends requests by rt. Default: a transport of its own.
func WithTransport(rt http.RoundTripper) Option { return func(c *config) { c.rest.Transport = rt } }

// WithTimeout limits one attempt to reach the registry. Default 5 s.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.rest.AttemptTimeout = d } }

// WithRetries sets how often a request is tried, and the longest pause after
// the first failure, which doubles with each. Default 4 and 100 ms.
func WithRetries(attempts int, backoff time.Duration) Option {
	return func(c *config) { c.rest.Attempts, c.rest.Backoff = attempts, backoff }
}

// WithCacheSize sets how many schemas are kept parsed, of readers and of
// writers; a parsed schema takes tens of kilobytes. Default 1000.
func WithCacheSize(n int) Option { return func(c *config) { c.cached = n } }

// WithUnknownTTL sets for how long an id that the registry did not know is not
// asked for again. Default 5 s.
func WithUnknownTTL(d time.Duration) Option { return func(c *config) { c.unknown = d } }

// WithTopics adds topics to those of schemas.Declared.
func WithTopics(topics ...schemas.Topic) Option {
	return func(c *config) { c.topics = append(c.topics, topics...) }
}

// New returns a Serde for the registry at registryURL, several addresses of it
// separated by commas. It sends nothing yet.
func New(registryURL string, opts ...Option) (*Serde, error) {
	cfg := config{rest: rest.Config{URLs: registryURL}, cached: 1000, unknown: 5 * time.Second, topics: schemas.Declared()}
	for _, o := range opts {
		o(&cfg)
	}
	client, err := rest.New(cfg.rest)
	if err != nil {
		return nil, err
	}
	s := &Serde{client: client, topics: map[string]schemas.Topic{}, unknown: unknownIDs{ttl: cfg.unknown}}
	for _, t := range cfg.topics {
		s.topics[t.Name] = t
	}
	const longest = 30 * time.Second
	s.writers = newCache(cfg.cached, longest, s.loadWriter)
	s.readers = newCache(cfg.cached, longest, s.loadReader)
	return s, nil
}

// Close drops idle connections to the registry.
func (s *Serde) Close() { s.client.Close() }

// Check makes sure that the registry has the schemas with which events of
// these types are written to topic; no events mean all of the topic's. The
// error joins an *UnknownSchemaError for each that is missing.
func (s *Serde) Check(ctx context.Context, topic schemas.Topic, evs ...events.Event) error {
	if len(evs) == 0 {
		for _, name := range topic.Schemas {
			e, ok := events.New(name)
			if !ok {
				return fmt.Errorf("topic %s declares %s, which is not an event of this program", topic.Name, name)
			}
			evs = append(evs, e)
		}
	}
	var errs []error
	for _, e := range evs {
		if _, err := s.writer(ctx, topic, e); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Encode validates e and returns the value to write to topic. It asks the
// registry only for the first event of a type.
func (s *Serde) Encode(ctx context.Context, topic string, e events.Event) ([]byte, error) {
	t, ok := s.topics[topic]
	if !ok {
		return nil, fmt.Errorf("topic %s is not declared: add it to schemas.Topics", topic)
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	w, err := s.writer(ctx, t, e)
	if err != nil {
		return nil, err
	}
	return appendValue(nil, w.id, w.codec, e)
}

// EncodeWith returns v in the wire format as written with the schema that has
// this id, as Register returned it.
func (s *Serde) EncodeWith(id int, schema *codec.Schema, v any) ([]byte, error) {
	return appendValue(nil, id, schema, v)
}

// AppendWith is EncodeWith that appends to dst.
func (s *Serde) AppendWith(dst []byte, id int, schema *codec.Schema, v any) ([]byte, error) {
	return appendValue(dst, id, schema, v)
}

func appendValue(dst []byte, id int, c codec.Codec, v any) ([]byte, error) {
	if dst == nil {
		dst = make([]byte, 0, 256)
	}
	dst = append(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(id))
	out, err := c.AppendEncode(dst, v)
	if err != nil {
		return nil, fmt.Errorf("encode with schema %d: %w", id, err)
	}
	return out, nil
}

// Register adds a schema under a subject and returns its id; registering it
// again returns the same. A refusal is an *IncompatibleError.
func (s *Serde) Register(ctx context.Context, subject, schema string) (int, error) {
	parsed, err := codec.Parse(schema)
	if err != nil {
		return 0, fmt.Errorf("subject %s: %w", subject, err)
	}
	got, err := s.client.Register(ctx, subject, parsed.String())
	if rest.IsConflict(err) {
		r := refusal.Explain(ctx, s.client, subject, parsed, err)
		return 0, &IncompatibleError{Subject: subject, Version: r.Version, Field: r.Field, Detail: r.Detail, Messages: r.Messages}
	}
	if err != nil {
		return 0, err
	}
	return got.ID, nil
}

// Decode returns the event that value holds: written with whatever version of
// its schema, read as this program's, and validated.
func (s *Serde) Decode(ctx context.Context, value []byte) (events.Event, error) {
	id, body, err := split(value)
	if err != nil {
		return nil, err
	}
	r, err := s.reader(ctx, id)
	if err != nil {
		return nil, err
	}
	e, ok := events.New(r.name)
	if !ok {
		return nil, &UnknownTypeError{Name: r.name}
	}
	typed, err := r.typed()
	if err != nil {
		return nil, s.mismatch(ctx, id, r.name, err)
	}
	if err := typed.Decode(body, e); err != nil {
		return nil, &DecodeError{ID: id, Name: r.name, Err: err}
	}
	if err := e.Validate(); err != nil {
		return nil, invalid(id, err)
	}
	return e, nil
}

// DecodeAny returns the full name of what value holds and its generic form:
// a map[string]any for a record, times as time.Time, decimals as *big.Rat.
func (s *Serde) DecodeAny(ctx context.Context, value []byte) (name string, v any, err error) {
	id, body, err := split(value)
	if err != nil {
		return "", nil, err
	}
	r, err := s.reader(ctx, id)
	if err != nil {
		return "", nil, err
	}
	if err := r.writer.Decode(body, &v); err != nil {
		return r.name, nil, &DecodeError{ID: id, Name: r.name, Err: err}
	}
	return r.name, v, nil
}

// SchemaID returns the id of the schema that value says it was written with.
func SchemaID(value []byte) (int, error) {
	id, _, err := split(value)
	return id, err
}

func split(value []byte) (id int, body []byte, err error) {
	if len(value) < headerSize {
		return 0, nil, &DecodeError{Err: fmt.Errorf("%d bytes are too few for the wire format, which begins with a zero byte and a schema id", len(value))}
	}
	if value[0] != 0 {
		return 0, nil, &DecodeError{Err: fmt.Errorf("the first byte is %#02x, not the zero of the wire format", value[0])}
	}
	n := binary.BigEndian.Uint32(value[1:])
	if n == 0 || n > 1<<31-1 {
		return 0, nil, &DecodeError{Err: fmt.Errorf("%d is not a schema id", n)}
	}
	return int(n), value[headerSize:], nil
}

// mismatch makes the error for a writer's schema that this program's type
// cannot read. Where it is registered helps whoever has to find its writer.
func (s *Serde) mismatch(ctx context.Context, id int, name string, cause error) error {
	e := &DecodeError{ID: id, Name: name, Err: cause}
	var re *codec.ResolveError
	if errors.As(cause, &re) {
		e.Field = re.Path
		e.Err = errors.New(re.Reason())
	}
	if where, err := s.client.Where(ctx, id); err == nil && len(where) > 0 {
		e.Subject, e.Version = where[0].Subject, where[0].Version
	}
	return e
}

func invalid(id int, err error) error {
	e := &DecodeError{ID: id, Err: err}
	var ve *events.ValidationError
	if errors.As(err, &ve) {
		e.Name, e.Field, e.Err = ve.Event, ve.Field, errors.New(ve.Problem)
	}
	return e
}
