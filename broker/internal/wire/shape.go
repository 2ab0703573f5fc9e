package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// shapes are the bodies of the requests that kmsg decodes, in a notation of
// fields separated by blanks:
//
//	1 2 4 8 16   a field of so many bytes
//	s            a string     n   a string or null     b   bytes or null
//	( f )        an array of one such field
//	[ f f ]      an array of structures, each with tagged fields in flexible versions
//	{ f f }      a structure or null
//	f@3+         the field is there from version 3 on
//	f@0-2        in versions 0 to 2
//
// They exist so that a request can be walked before kmsg allocates for it; a test
// holds them against kmsg for every key and version.
var shapes = map[int16]string{
	2:  "4 1@2+ [ s [ 4 4@4+ 8 ] ] 4@10+",
	3:  "[ 16@10+ s@0-9 n@10+ ] 1@4+ 1@8-10 1@8+",
	8:  "s 4@1+ s@1+ n@7+ 8@2-4 [ s@0-9 16@10+ [ 4 8 4@6+ n ] ]",
	9:  "s@0-7 [@0-7 s (4) ] [@8+ s n@9+ 4@9+ [ s@0-9 16@10+ (4) ] ] 1@7+",
	10: "s@0-3 1@1+ (s)@4+",
	11: "s 4 4@1+ s n@5+ s [ s b ] n@8+",
	12: "s 4 s n@3+",
	13: "s s@0-2 [@3+ s n n@5+ ]",
	14: "s 4 s n@3+ n@5+ n@5+ [ s b ]",
	15: "(s) 1@3+",
	16: "(s)@4+ (s)@5+",
	17: "s",
	18: "s@3+ s@3+ n@5+ 4@5+",
	19: "[ s 4 2 [ 4 (4) ] [ s n ] ] 4 1@1+",
	20: "(s)@0-5 [@6+ n 16 ] 4",
	21: "[ s [ 4 8 ] ] 4",
	22: "n 4 8@3+ 2@3+",
	23: "4@3+ [ s [ 4 4@2+ 4 ] ]",
	24: "s@0-3 8@0-3 2@0-3 [@0-3 s (4) ] [@4+ s 8 2 1 [ s (4) ] ]",
	25: "s 8 2 s",
	26: "s 8 2 1",
	27: "[ 8 2 1 [ s (4) ] 4 1@2+ ]",
	28: "s s 8 2 4@3+ s@3+ n@3+ [ s@0-5 16@6+ [ 4 8 4@2+ n ] ]",
	29: "1 n 1@1+ n n 1 1",
	30: "[ 1 s 1@1+ s s 1 1 ]",
	31: "[ 1 n 1@1+ n n 1 1 ]",
	32: "[ 1 s (s) ] 1@1+ 1@3+",
	33: "[ 1 s [ s n ] ] 1",
	34: "[ s [ s (4) ] ]",
	35: "[ s (4) ]",
	36: "b",
	37: "[ s 4 [ (4) ] ] 4 1",
	42: "(s)",
	43: "1@1+ [ s (4) ] 4",
	44: "[ 1 s [ s 1 n ] ] 1",
	45: "4 1@1+ [ s [ 4 (4) ] ]",
	46: "4 [ s (4) ]",
	47: "s [ s [ 4 ] ]",
	48: "[ s 1 n ] 1",
	49: "[ [ s n ] [ s 8 1 ] ] 1",
	50: "[ s ]",
	51: "[ s 1 ] [ s 1 4 b b ]",
	55: "[ s [ 4 ] ]",
	57: "4 [ s 2 1@0-0 1@1+ ] 1@1+",
	60: "1 1@1+ 1@2+",
	61: "[ s (4) ]",
	64: "4",
	65: "(s)",
	66: "(s) (8) 8@1+ n@2+",
	68: "s s 4 n n 4 (s) n@1+ n [ 16 (4) ]",
	69: "(s) 1",
	74: "(1)@1+",
	75: "[ s ] 4 { s 4 }",
	80: "n 4 4 16 [ s s 2 ] 1@1+",
	81: "n 4 16",
}

type kind uint8

const (
	kindFixed kind = iota
	kindString
	kindNullable
	kindBytes
	kindArray // of structures, or of one primitive
	kindOptional
)

// node is one field of a shape.
type node struct {
	kind      kind
	size      int // of a fixed field
	from, to  int16
	elems     []node
	primitive bool // the array's elements have no tags
}

var compiled = func() map[int16][]node {
	out := map[int16][]node{}
	for key, text := range shapes {
		spaced := strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text)
		tokens := strings.Fields(spaced)
		nodes, rest := compile(tokens)
		if len(rest) > 0 {
			panic(fmt.Sprintf("shape of key %d: %q is left over", key, rest))
		}
		out[key] = nodes
	}
	return out
}()

// compile reads fields up to the end of tokens or of the array they are in.
func compile(tokens []string) (nodes []node, rest []string) {
	for len(tokens) > 0 {
		token, versions, _ := strings.Cut(tokens[0], "@")
		tokens = tokens[1:]
		n := node{to: 1<<15 - 1}
		switch token {
		case "]", ")", "}":
			return nodes, append([]string{token + "@" + versions}, tokens...)
		case "s":
			n.kind = kindString
		case "n":
			n.kind = kindNullable
		case "b":
			n.kind = kindBytes
		case "[", "(", "{":
			n.kind, n.primitive = kindArray, token == "("
			if token == "{" {
				n.kind = kindOptional
			}
			n.elems, tokens = compile(tokens)
			_, after, _ := strings.Cut(tokens[0], "@")
			tokens = tokens[1:]
			if n.primitive && len(tokens) > 0 && strings.HasPrefix(tokens[0], "@") {
				after, tokens = tokens[0][1:], tokens[1:] // ")@4+" was split at the bracket
			}
			versions += after
		default:
			size, err := strconv.Atoi(token)
			if err != nil {
				panic(err)
			}
			n.size = size
		}
		if lo, open := strings.CutSuffix(versions, "+"); open {
			v, _ := strconv.Atoi(lo)
			n.from = int16(v)
		} else if lo, hi, ok := strings.Cut(versions, "-"); ok {
			l, _ := strconv.Atoi(lo)
			h, _ := strconv.Atoi(hi)
			n.from, n.to = int16(l), int16(h)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// walker measures a request.
type walker struct {
	r        Reader
	version  int16
	flexible bool
	elements int64
	tags     int64
}

func (w *walker) structure(nodes []node) {
	for i := range nodes {
		n := &nodes[i]
		if w.version < n.from || w.version > n.to {
			continue
		}
		switch n.kind {
		case kindFixed:
			w.r.Span(n.size)
		case kindString:
			w.r.StringBytes(w.flexible)
		case kindNullable:
			if l := w.r.length(w.flexible, false); l != -1 {
				w.r.Span(l)
			}
		case kindBytes:
			w.r.NullableBytes(w.flexible)
		case kindArray:
			w.array(n)
		case kindOptional:
			if w.r.Int8() != -1 {
				w.elements++
				w.structure(n.elems)
				if w.flexible {
					w.section()
				}
			}
		}
		if !w.r.Ok() {
			return
		}
	}
}

func (w *walker) array(n *node) {
	count := w.r.ArrayLen(w.flexible, 1)
	if count <= 0 {
		return
	}
	w.elements += int64(count)
	for range count {
		w.structure(n.elems)
		if w.flexible && !n.primitive {
			w.section()
		}
		if !w.r.Ok() {
			return
		}
	}
}

func (w *walker) section() {
	before := w.r
	w.r.SkipTags(true)
	if w.r.Ok() {
		w.tags += int64(before.Uvarint())
	}
}

// What decoding allocates, at most: for an element of an array its structure, for
// a tagged field its place in a map.
const (
	elementBytes = 256
	tagBytes     = 512
)

// charge walks a request's body and bounds what kmsg may allocate decoding it.
// What it accepts, kmsg decodes in time and memory proportional to the body.
func charge(req *Request) (int64, error) {
	shape, ok := compiled[req.Key]
	if !ok {
		return 0, fmt.Errorf("request key %d has no shape", req.Key)
	}
	w := walker{r: NewReader(req.Body), version: req.Version, flexible: Flexible(req.Key, req.Version)}
	w.structure(shape)
	if w.flexible && w.r.Ok() {
		w.section()
	}
	if !w.r.Ok() {
		return 0, w.r.Err()
	}
	return 1024 + 2*int64(len(req.Body)) + w.elements*elementBytes + w.tags*tagBytes, nil
}
