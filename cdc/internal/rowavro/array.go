package rowavro

import (
	"bytes"
	"unicode/utf8"
)

// appendArray writes an array of one dimension, each element nullable. Where it
// starts counting is not kept. Arrays of more dimensions have no form.
func appendArray(delim byte, elem AppendFunc) AppendFunc {
	if delim == 0 {
		delim = ','
	}
	return func(dst, text []byte) ([]byte, error) {
		if len(text) > 0 && text[0] == '[' { // [0:1]={a,b}
			i := bytes.IndexByte(text, '=')
			if i < 0 {
				return dst, errSyntax
			}
			text = text[i+1:]
		}
		if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
			return dst, errSyntax
		}
		text = text[1 : len(text)-1]
		if len(text) == 0 {
			return append(dst, 0), nil
		}
		n, err := countElements(text, delim)
		if err != nil {
			return dst, err
		}
		dst = appendLong(dst, int64(n))
		for range n {
			var value []byte
			var quoted bool
			if len(text) > 0 {
				value, text, quoted = nextElement(text, delim)
			}
			if !quoted && len(value) == 0 { // PostgreSQL quotes an empty text
				return dst, errSyntax
			}
			if !quoted && string(value) == "NULL" {
				dst = append(dst, 0)
				continue
			}
			if dst, err = elem(append(dst, 2), value); err != nil {
				return dst, err
			}
		}
		if len(text) > 0 {
			return dst, errSyntax
		}
		return append(dst, 0), nil
	}
}

// countElements counts the elements of an array's inside.
func countElements(text []byte, delim byte) (int, error) {
	n, quoted := 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			return 0, errNoForm
		case c == delim:
			n++
		}
	}
	if quoted {
		return 0, errSyntax
	}
	return n, nil
}

// nextElement takes the first element off.
func nextElement(text []byte, delim byte) (value, rest []byte, quoted bool) {
	if text[0] == '"' {
		value, rest = unquote(text)
		if len(rest) > 0 {
			rest = rest[1:]
		}
		return value, rest, true
	}
	i := bytes.IndexByte(text, delim)
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i+1:], false
}

// unquote takes "a \"quoted\" text" off the front of b.
func unquote(b []byte) (value, rest []byte) {
	end := 1
	escaped := false
	for end < len(b) && b[end] != '"' {
		if b[end] == '\\' {
			escaped = true
			end++
		}
		end++
	}
	end = min(end, len(b))
	value, rest = b[1:end], b[min(end+1, len(b)):]
	if !escaped {
		return value, rest
	}
	plain := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		plain = append(plain, value[i])
	}
	return plain, rest
}

// appendHstore writes "a"=>"1", "b"=>NULL as the JSON object {"a":"1","b":null}.
func appendHstore(dst, text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return dst, errUTF8
	}
	out := []byte{'{'}
	for len(text) > 0 {
		if len(out) > 1 {
			rest, ok := bytes.CutPrefix(text, []byte(", "))
			if !ok {
				return dst, errSyntax
			}
			text, out = rest, append(out, ',')
		}
		if text[0] != '"' {
			return dst, errSyntax
		}
		key, rest := unquote(text)
		rest, ok := bytes.CutPrefix(rest, []byte("=>"))
		if !ok || len(rest) == 0 {
			return dst, errSyntax
		}
		out = append(appendJSONString(out, key), ':')
		if after, null := bytes.CutPrefix(rest, []byte("NULL")); null {
			out, text = append(out, "null"...), after
			continue
		}
		if rest[0] != '"' {
			return dst, errSyntax
		}
		var value []byte
		value, text = unquote(rest)
		out = appendJSONString(out, value)
	}
	return appendBytes(dst, append(out, '}')), nil
}

func appendJSONString(dst, s []byte) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
