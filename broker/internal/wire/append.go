package wire

import "encoding/binary"

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUvarint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

func appendString(dst []byte, flexible bool, s string) []byte {
	if flexible {
		dst = appendUvarint(dst, uint32(len(s)+1))
	} else {
		dst = appendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

func appendNullableString(dst []byte, flexible bool, s *string) []byte {
	if s != nil {
		return appendString(dst, flexible, *s)
	}
	if flexible {
		return append(dst, 0)
	}
	return appendInt16(dst, -1)
}

func appendArrayLen(dst []byte, flexible bool, n int) []byte {
	if flexible {
		return appendUvarint(dst, uint32(n+1))
	}
	return appendInt32(dst, int32(n))
}

// appendBytesLen appends the length that precedes a byte field of n bytes.
func appendBytesLen(dst []byte, flexible bool, n int) []byte {
	return appendArrayLen(dst, flexible, n)
}
