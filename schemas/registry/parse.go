package registry

import (
	"container/list"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// maxDepth bounds how deep references may nest.
const maxDepth = 64

// parser parses schemas with their references. A parsed schema takes thirty
// times the memory of its text, so only the recently used are kept.
type parser struct {
	mu    sync.Mutex
	size  int
	order *list.List
	known map[[sha256.Size]byte]*list.Element
	// shapes are hashes of schemas with their references written out. They are
	// small and kept for all, because a new schema is compared with every
	// version of its subject.
	shapes map[shapeKey][sha256.Size]byte
}

// shapeKey names a schema: references lead to the same schemas within a
// context, and hash covers them.
type shapeKey struct {
	context string
	hash    [16]byte
}

// maxShapes bounds the hashes kept: 64 bytes each.
const maxShapes = 1 << 17

type parsed struct {
	key    [sha256.Size]byte
	schema *codec.Schema
	names  []string // full names of the schemas it refers to, transitively
}

func newParser(size int) *parser {
	return &parser{size: size, order: list.New(), known: map[[sha256.Size]byte]*list.Element{}, shapes: map[shapeKey][sha256.Size]byte{}}
}

// errReference says that a reference leads nowhere.
var errReference = errors.New("reference not found")

// parse parses a schema of subject. Strict is for new schemas: their defaults
// must fit, and deleted versions cannot be referred to.
func (p *parser) parse(st *state, subject, text string, refs []Reference, strict bool) (*parsed, error) {
	return p.parseDeep(st, subject, text, refs, strict, 0)
}

func (p *parser) parseDeep(st *state, subject, text string, refs []Reference, strict bool, depth int) (*parsed, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("references nested deeper than %d", maxDepth)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%t %d %s", strict, len(text), text)
	var schemas []*codec.Schema
	var names []string
	seen := map[string]bool{}
	for _, ref := range refs {
		if seen[ref.Name] {
			continue
		}
		seen[ref.Name] = true
		target := relativeTo(subject, ref.Subject)
		e := st.version(target, ref.Version, !strict)
		if e == nil {
			return nil, fmt.Errorf("%w: no schema for %q in subject %q version %d", errReference, ref.Name, target, ref.Version)
		}
		to, err := p.parseDeep(st, e.subject, e.schema, e.references, false, depth+1)
		if err != nil {
			return nil, fmt.Errorf("reference %q: %w", ref.Name, err)
		}
		h.Write(to.key[:])
		schemas = append(schemas, to.schema)
		names = append(append(names, to.names...), to.schema.FullName())
	}
	key := [sha256.Size]byte(h.Sum(nil))
	if hit := p.get(key); hit != nil {
		return hit, nil
	}
	parse := codec.ParseLoose
	if strict {
		parse = codec.Parse
	}
	schema, err := parse(text, schemas...)
	if err != nil {
		return nil, err
	}
	out := &parsed{key: key, schema: schema, names: names}
	p.put(out)
	return out, nil
}

func (p *parser) get(key [sha256.Size]byte) *parsed {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.known[key]
	if e == nil {
		return nil
	}
	p.order.MoveToFront(e)
	return e.Value.(*parsed)
}

func (p *parser) put(s *parsed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[s.key] != nil {
		return
	}
	p.known[s.key] = p.order.PushFront(s)
	if p.order.Len() > p.size {
		last := p.order.Back()
		p.order.Remove(last)
		delete(p.known, last.Value.(*parsed).key)
	}
}

// shape returns the hash of a version's text with references written out.
func (p *parser) shape(st *state, e *entry) ([sha256.Size]byte, error) {
	key := shapeKey{contextOf(e.subject), e.hash}
	p.mu.Lock()
	sum, ok := p.shapes[key]
	p.mu.Unlock()
	if ok {
		return sum, nil
	}
	s, err := p.parse(st, e.subject, e.schema, e.references, false)
	if err != nil {
		return sum, err
	}
	sum = sha256.Sum256([]byte(s.schema.Inline()))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.shapes) >= maxShapes {
		clear(p.shapes)
	}
	p.shapes[key] = sum
	return sum, nil
}
