package debezium

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// VariableScale returns the value of a NumericAny column from PostgreSQL's
// text of it, such as -12.340, keeping its scale.
func VariableScale(text string) (map[string]any, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	unscaled, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return nil, fmt.Errorf("numeric %q has no decimal form", text)
	}
	return map[string]any{"scale": int32(len(fraction)), "value": twosComplement(unscaled)}, nil
}

// Decimal returns the number that a NumericAny column's decoded record holds.
func Decimal(record map[string]any) (*big.Rat, error) {
	scale, ok := record["scale"].(int32)
	value, ok2 := record["value"].([]byte)
	if !ok || !ok2 || scale < -maxScale || scale > maxScale {
		return nil, fmt.Errorf("not a variable scale decimal: %v", record)
	}
	n := new(big.Int).SetBytes(value)
	if len(value) > 0 && value[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(value))))
	}
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale < 0 {
		return new(big.Rat).SetInt(n.Mul(n, ten)), nil
	}
	return new(big.Rat).SetFrac(n, ten), nil
}

// maxScale bounds what a hostile record can make Decimal compute; PostgreSQL
// itself allows no more than 16383 digits after the point.
const maxScale = 1 << 15

// twosComplement returns n big-endian in as few bytes as hold its sign, as
// Java's BigInteger.toByteArray does.
func twosComplement(n *big.Int) []byte {
	if n.Sign() >= 0 {
		b := n.Bytes()
		if len(b) == 0 || b[0] >= 0x80 {
			b = append([]byte{0}, b...)
		}
		return b
	}
	size := uint(len(new(big.Int).Add(n, big.NewInt(1)).Bytes())*8 + 8)
	b := new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), size)).Bytes()
	for len(b) > 1 && b[0] == 0xff && b[1] >= 0x80 {
		b = b[1:]
	}
	return b
}

// ZonedTimestamp returns the value of a TimestampTZ column.
func ZonedTimestamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}
