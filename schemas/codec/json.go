package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a schema's JSON, so that parsing hostile text
// cannot exhaust the stack. Jackson's own limit is the same.
const maxDepth = 1000

// value is a JSON value that remembers the order of its members. Exactly one
// of the fields that kind names is set.
type value struct {
	kind    byte // 'n'ull, 't'rue, 'f'alse, '0' number, '"' string, '[' array, '{' object
	text    string
	items   []value
	members []member
}

type member struct {
	name  string
	value value
}

func (v value) get(name string) (value, bool) {
	for _, m := range v.members {
		if m.name == name {
			return m.value, true
		}
	}
	return value{}, false
}

// parseJSON parses one JSON document. A repeated member takes the last value
// at the first place, as Jackson does.
func parseJSON(text string) (value, error) {
	if !utf8.ValidString(text) {
		return value{}, errors.New("not valid UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return value{}, fmt.Errorf("not valid JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return value{}, errors.New("not valid JSON: text follows the schema")
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (value, error) {
	tok, err := d.Token()
	if err != nil {
		return value{}, err
	}
	return readAfter(d, tok, depth)
}

func readAfter(d *json.Decoder, tok json.Token, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch t := tok.(type) {
	case nil:
		return value{kind: 'n'}, nil
	case bool:
		if t {
			return value{kind: 't'}, nil
		}
		return value{kind: 'f'}, nil
	case json.Number:
		return value{kind: '0', text: t.String()}, nil
	case string:
		return value{kind: '"', text: t}, nil
	case json.Delim:
		if t == '[' {
			return readArray(d, depth)
		}
		return readObject(d, depth)
	}
	return value{}, fmt.Errorf("unexpected %v", tok)
}

func readArray(d *json.Decoder, depth int) (value, error) {
	v := value{kind: '['}
	for d.More() {
		item, err := readValue(d, depth+1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
	}
	_, err := d.Token()
	return v, err
}

func readObject(d *json.Decoder, depth int) (value, error) {
	v := value{kind: '{'}
	at := map[string]int{}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return value{}, err
		}
		name, ok := tok.(string)
		if !ok {
			return value{}, fmt.Errorf("unexpected %v", tok)
		}
		item, err := readValue(d, depth+1)
		if err != nil {
			return value{}, err
		}
		if i, dup := at[name]; dup {
			v.members[i].value = item
			continue
		}
		at[name] = len(v.members)
		v.members = append(v.members, member{name, item})
	}
	_, err := d.Token()
	return v, err
}

// appendJSON prints v without spaces, as Jackson prints a tree.
func appendJSON(b []byte, v value) []byte {
	switch v.kind {
	case 'n':
		return append(b, "null"...)
	case 't':
		return append(b, "true"...)
	case 'f':
		return append(b, "false"...)
	case '0':
		return append(b, javaNumber(v.text)...)
	case '"':
		return appendString(b, v.text)
	case '[':
		b = append(b, '[')
		for i, item := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, item)
		}
		return append(b, ']')
	default:
		b = append(b, '{')
		for i, m := range v.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, m.name)
			b = append(b, ':')
			b = appendJSON(b, m.value)
		}
		return append(b, '}')
	}
}

const upperHex = "0123456789ABCDEF"

// appendString quotes s with Jackson's escapes: quotes, backslashes and
// control characters, nothing else.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
		}
	}
	return append(b, '"')
}

// javaNumber prints a JSON number as Jackson reads and writes it: integers as
// they are, anything with a fraction or exponent as a Java double.
func javaNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0"
		}
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(f, 1):
		return `"Infinity"`
	case math.IsInf(f, -1):
		return `"-Infinity"`
	case err != nil:
		return text
	}
	return javaDouble(f)
}

// javaDouble formats as Java's Double.toString does since JDK 19: the shortest
// digits that tell the number from its neighbours, plain between 1e-3 and 1e7,
// otherwise in scientific notation with at least one fraction digit.
func javaDouble(f float64) string {
	if abs := max(f, -f); f == 0 || (abs >= 1e-3 && abs < 1e7) {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	s := strconv.FormatFloat(f, 'E', -1, 64)
	mantissa, exp, ok := strings.Cut(s, "E")
	if !ok {
		return s
	}
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, err := strconv.Atoi(exp)
	if err != nil {
		return s
	}
	return mantissa + "E" + strconv.Itoa(n)
}
