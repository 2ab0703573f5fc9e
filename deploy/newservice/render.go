package newservice

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// marker begins the comments of the templates that say what a line is for:
//
//	//template:if WORD…      kept if all of the words hold: http, produces (a topic),
//	                         typed (topics whose event types are known), lines (logs.v1)
//	//template:each topic    once for each consumed topic whose event types are known
//	//template:each event    once for each event type, of the topic around it or of all
//	//template:each untyped  once for each consumed topic without known types
//	//template:each produced once for each produced topic
//	//template:part NAME     what `quokka new service --check` compares
//	//template:end
//
// Inside each, the sample's names stand for those of the topic or event: orders.v1
// and OrderPlaced, cdc.order.public.customers, examples.v1 and ExampleRecorded.
const marker = "//template:"

// renderer writes a service's files from the template's.
type renderer struct {
	spec               Spec
	consumed, produced []topic
	names              map[string]string // of the service
	parts              []part            // of the files rendered so far
}

// part is a stretch of a template that services have in common.
type part struct {
	name string
	// file is the template's, line where the part begins.
	file string
	line int
	text string
}

// scope is what the sample's names stand for at a place.
type scope struct {
	names map[string]string
	topic *topic // of an enclosing each topic
}

// file renders one file; a Go file is left with the imports that it uses.
func (r *renderer) file(name string, text []byte) ([]byte, error) {
	lines := strings.SplitAfter(string(text), "\n")
	var b strings.Builder
	rest, err := r.block(&b, name, lines, 0, scope{names: r.names})
	if err != nil {
		return nil, err
	}
	if rest != len(lines) {
		return nil, fmt.Errorf("%s:%d: %send without a beginning", name, rest, marker)
	}
	if path.Ext(name) != ".go" {
		return []byte(b.String()), nil
	}
	out, err := polish([]byte(b.String()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, b.String())
	}
	return out, nil
}

// block renders lines up to the end of the region that they are in, and returns the
// number of the line behind it.
func (r *renderer) block(b *strings.Builder, name string, lines []string, from int, in scope) (int, error) {
	var plain strings.Builder
	flush := func() {
		b.WriteString(replace(name, plain.String(), in.names))
		plain.Reset()
	}
	for i := from; i < len(lines); {
		command, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), marker)
		if !ok {
			plain.WriteString(lines[i])
			i++
			continue
		}
		flush()
		verb, argument, _ := strings.Cut(command, " ")
		if verb == "end" {
			return i + 1, nil
		}
		next := 0
		scopes, err := r.scopes(verb, argument, in)
		if err != nil {
			return 0, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		for _, s := range scopes {
			var inner strings.Builder
			if next, err = r.block(&inner, name, lines, i+1, s); err != nil {
				return 0, err
			}
			if verb == "part" {
				r.parts = append(r.parts, part{name: argument, file: name, line: i + 1, text: inner.String()})
			}
			b.WriteString(inner.String())
		}
		if len(scopes) == 0 {
			var dropped strings.Builder
			parts := len(r.parts)
			if next, err = r.block(&dropped, name, lines, i+1, in); err != nil {
				return 0, err
			}
			r.parts = r.parts[:parts]
		}
		if next == len(lines) && !strings.Contains(lines[next-1], marker+"end") {
			return 0, fmt.Errorf("%s:%d: %s%s has no end", name, i+1, marker, command)
		}
		i = next
	}
	flush()
	return len(lines), nil
}

// scopes are those in which a region is repeated; none leaves it out.
func (r *renderer) scopes(verb, argument string, in scope) ([]scope, error) {
	switch verb {
	case "part":
		return []scope{in}, nil
	case "if":
		for word := range strings.FieldsSeq(argument) {
			holds, ok := r.holds()[word]
			if !ok {
				return nil, fmt.Errorf("%sif %s: there is no such option", marker, word)
			}
			if !holds {
				return nil, nil
			}
		}
		return []scope{in}, nil
	case "each":
		return r.each(argument, in)
	}
	return nil, fmt.Errorf("%s%s is unknown", marker, verb)
}

// holds says which words of an if hold.
func (r *renderer) holds() map[string]bool {
	return map[string]bool{
		"http": r.spec.HTTP, "produces": len(r.spec.Produces) > 0,
		"typed": slices.ContainsFunc(r.consumed, topic.typed),
		"lines": slices.ContainsFunc(r.consumed, func(t topic) bool { return t.name == logsTopic }),
	}
}

// each repeats a region.
func (r *renderer) each(what string, in scope) (out []scope, err error) {
	with := func(topic *topic, names map[string]string) {
		all := maps.Clone(in.names)
		maps.Copy(all, names)
		out = append(out, scope{names: all, topic: topic})
	}
	switch what {
	case "produced":
		for _, t := range r.produced {
			with(nil, t.forProduced())
		}
		return out, nil
	case "topic", "event", "untyped":
	default:
		return nil, fmt.Errorf("%s%s %s is unknown", marker, "each", what)
	}
	topics := r.consumed
	if in.topic != nil {
		topics = []topic{*in.topic}
	}
	for _, t := range topics {
		switch {
		case what == "topic" && t.typed():
			with(&t, t.forConsumed())
		case what == "untyped" && !t.typed():
			with(&t, t.forUntyped())
		case what == "event":
			for _, e := range t.events {
				with(&t, t.forEvent(e))
			}
		}
	}
	return out, nil
}
