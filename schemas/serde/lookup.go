package serde

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/riferrei/srclient"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/internal/rest"
)

// writerKey is what an event is written as. The schema is that of the program,
// so its name is enough.
type writerKey struct {
	subject, name string
}

type writer struct {
	id    int
	codec codec.Codec
}

// writer returns how events of e's type are written to topic.
func (s *Serde) writer(ctx context.Context, topic schemas.Topic, e events.Event) (writer, error) {
	name := e.AvroName()
	if !slices.Contains(topic.Schemas, name) {
		return writer{}, fmt.Errorf("topic %s does not carry %s: add it to the topic's declaration in package schemas", topic.Name, name)
	}
	return s.writers.get(ctx, writerKey{topic.Subject(name), name})
}

func (s *Serde) loadWriter(ctx context.Context, key writerKey) (writer, error) {
	own, ok := events.Schema(key.name)
	if !ok {
		return writer{}, fmt.Errorf("%s is not an event of this program", key.name)
	}
	found, err := s.client.Lookup(ctx, key.subject, own.String())
	if rest.IsNotFound(err) {
		return writer{}, s.unknownSchema(ctx, key, own)
	}
	if err != nil {
		return writer{}, err
	}
	return writer{id: found.ID, codec: own}, nil
}

// unknownSchema says how the program's schema differs from the subject's
// latest version.
func (s *Serde) unknownSchema(ctx context.Context, key writerKey, own *codec.Schema) error {
	e := &UnknownSchemaError{Subject: key.subject, Event: key.name}
	latest, err := s.client.Version(ctx, key.subject, 0)
	if err != nil {
		return e
	}
	e.Version, e.Detail = latest.Version, "another schema"
	if theirs, err := codec.Parse(latest.Text); err == nil {
		if d, differs := codec.Diff(own, theirs); differs {
			e.Field, e.Detail = d.Path, d.Detail
		}
	}
	return e
}

// reader is a writer's schema, and how to read it as this program's type.
type reader struct {
	name   string
	writer *codec.Schema
	// typed resolves the schema against the program's at first use; a generic
	// reader never needs it.
	typed func() (codec.Codec, error)
}

// reader returns how to read values with this schema id.
func (s *Serde) reader(ctx context.Context, id int) (*reader, error) {
	if s.unknown.recent(id) {
		return nil, &UnknownIDError{ID: id}
	}
	return s.readers.get(ctx, id)
}

func (s *Serde) loadReader(ctx context.Context, id int) (*reader, error) {
	found, err := s.client.ByID(ctx, id)
	if rest.IsNotFound(err) {
		s.unknown.add(id)
		return nil, &UnknownIDError{ID: id}
	}
	if err != nil {
		return nil, err
	}
	if found.Type != "AVRO" {
		return nil, &DecodeError{ID: id, Err: fmt.Errorf("the schema is %s, not Avro", found.Type)}
	}
	refs, err := s.references(ctx, found.References, maxReferences)
	if err != nil {
		return nil, err
	}
	w, err := codec.Parse(found.Text, refs...)
	if err != nil {
		return nil, &DecodeError{ID: id, Err: fmt.Errorf("the registry's schema: %w", err)}
	}
	return &reader{name: w.FullName(), writer: w, typed: sync.OnceValues(func() (codec.Codec, error) {
		own, ok := events.Schema(w.FullName())
		if !ok {
			return nil, &UnknownTypeError{Name: w.FullName()}
		}
		return codec.Resolve(w, own)
	})}, nil
}

// maxReferences bounds how deep references of references go.
const maxReferences = 16

// references reads the schemas that a schema uses, those they use first.
func (s *Serde) references(ctx context.Context, refs []srclient.Reference, depth int) ([]*codec.Schema, error) {
	if len(refs) > 0 && depth == 0 {
		return nil, &DecodeError{Err: fmt.Errorf("schema references go deeper than %d", maxReferences)}
	}
	var out []*codec.Schema
	for _, ref := range refs {
		found, err := s.client.Version(ctx, ref.Subject, ref.Version)
		if err != nil {
			return nil, fmt.Errorf("reference %s: %w", ref.Name, err)
		}
		inner, err := s.references(ctx, found.References, depth-1)
		if err != nil {
			return nil, err
		}
		parsed, err := codec.Parse(found.Text, inner...)
		if err != nil {
			return nil, &DecodeError{Err: fmt.Errorf("reference %s: %w", ref.Name, err)}
		}
		out = append(out, parsed)
	}
	return out, nil
}

// unknownIDs remembers for a while which ids the registry did not know, so
// that a stream of alien values does not become a stream of requests.
type unknownIDs struct {
	ttl time.Duration
	mu  sync.Mutex
	at  map[int]time.Time
}

// maxUnknown bounds what hostile values can make it remember.
const maxUnknown = 1000

func (u *unknownIDs) recent(id int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.at[id]
	if ok && time.Since(at) >= u.ttl {
		delete(u.at, id)
		return false
	}
	return ok
}

func (u *unknownIDs) add(id int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil || len(u.at) >= maxUnknown {
		u.at = map[int]time.Time{}
	}
	u.at[id] = time.Now()
}
