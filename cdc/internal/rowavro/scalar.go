package rowavro

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendFunc appends the Avro form of a value, given PostgreSQL's text of it.
type AppendFunc func(dst, text []byte) ([]byte, error)

var (
	// errNoForm says that the value has no form in its Avro type.
	errNoForm = errors.New("the value has no form in its Avro type")
	errSyntax = errors.New("not a text PostgreSQL writes for this type")
	errUTF8   = errors.New("not UTF-8; convert the database from SQL_ASCII, or store such data as bytea")
)

func appendLong(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func appendBytes(dst, b []byte) []byte {
	return append(appendLong(dst, int64(len(b))), b...)
}

func appendString(dst, text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return dst, errUTF8
	}
	return appendBytes(dst, text), nil
}

func appendBool(dst, text []byte) ([]byte, error) {
	if len(text) == 1 && text[0] == 't' {
		return append(dst, 1), nil
	}
	if len(text) == 1 && text[0] == 'f' {
		return append(dst, 0), nil
	}
	return dst, errSyntax
}

// appendBit is for bit(1), which Debezium has as boolean.
func appendBit(dst, text []byte) ([]byte, error) {
	if len(text) != 1 || text[0] != '0' && text[0] != '1' {
		return dst, errSyntax
	}
	return append(dst, text[0]-'0'), nil
}

// parseInt parses a decimal integer of at most 18 digits, sign included or not.
func parseInt(text []byte) (int64, bool) {
	digits := text
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if text[0] == '-' {
		n = -n
	}
	return n, true
}

func appendInt(bits int) AppendFunc {
	return func(dst, text []byte) ([]byte, error) {
		n, ok := parseInt(text)
		if !ok {
			var err error
			if n, err = strconv.ParseInt(string(text), 10, 64); err != nil {
				return dst, errSyntax
			}
		}
		if bits < 64 && (n >= 1<<(bits-1) || n < -1<<(bits-1)) {
			return dst, errSyntax
		}
		return appendLong(dst, n), nil
	}
}

// The special values that PostgreSQL writes, NaN, Infinity and -Infinity, are
// among those that ParseFloat reads.
func appendFloat4(dst, text []byte) ([]byte, error) {
	v, err := strconv.ParseFloat(string(text), 32)
	if err != nil {
		return dst, errSyntax
	}
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v))), nil
}

func appendFloat8(dst, text []byte) ([]byte, error) {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return dst, errSyntax
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v)), nil
}

func appendBytea(dst, text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' || len(text)%2 != 0 {
		return dst, errSyntax
	}
	dst = appendLong(dst, int64(len(text)/2-1))
	out, err := hex.AppendDecode(dst, text[2:])
	if err != nil {
		return dst, errSyntax
	}
	return out, nil
}

// appendBits writes a bit string as Debezium does: the number it stands for,
// the leftmost bit being the highest, in bytes, the lowest first.
func appendBits(dst, text []byte) ([]byte, error) {
	n := (len(text) + 7) / 8
	dst = appendLong(dst, int64(n))
	start := len(dst)
	for range n {
		dst = append(dst, 0)
	}
	for i, c := range text {
		bit := len(text) - 1 - i
		switch c {
		case '1':
			dst[start+bit/8] |= 1 << (bit % 8)
		case '0':
		default:
			return dst, errSyntax
		}
	}
	return dst, nil
}
