package rowavro

import (
	"bytes"
	"math/big"
)

// decimal is the text of a number taken apart.
type decimal struct {
	negative        bool
	whole, fraction []byte // digits
}

// parseDecimal parses -12.340. NaN and the infinities are errNoForm.
func parseDecimal(text []byte) (decimal, error) {
	var d decimal
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return d, errNoForm
	}
	if len(text) > 0 && text[0] == '-' {
		d.negative, text = true, text[1:]
	}
	d.whole, d.fraction, _ = bytes.Cut(text, []byte{'.'})
	if len(d.whole) == 0 || !digits(d.whole) || !digits(d.fraction) {
		return d, errSyntax
	}
	return d, nil
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendUnscaled writes the bytes of the integer whose digits are given, in
// two's complement, highest first, as few as hold its sign.
func appendUnscaled(dst []byte, negative bool, digits ...[]byte) []byte {
	size := 0
	for _, part := range digits {
		size += len(part)
	}
	if size <= 18 {
		var n int64
		for _, part := range digits {
			for _, c := range part {
				n = n*10 + int64(c-'0')
			}
		}
		if negative {
			n = -n
		}
		return appendSmall(dst, n)
	}
	n, _ := new(big.Int).SetString(string(bytes.Join(digits, nil)), 10)
	if negative {
		n.Neg(n)
	}
	return appendBytes(dst, twosComplement(n))
}

func appendSmall(dst []byte, n int64) []byte {
	size := 8
	for size > 1 && n<<(64-8*(size-1))>>(64-8*(size-1)) == n {
		size--
	}
	dst = appendLong(dst, int64(size))
	for i := size - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

func twosComplement(n *big.Int) []byte {
	if n.Sign() >= 0 {
		// One bit more than the number has, for the sign.
		return n.FillBytes(make([]byte, n.BitLen()/8+1))
	}
	// -2^(k-1) fits in k bits, so the size is that of -n-1.
	size := new(big.Int).Not(n).BitLen()/8 + 1
	b := new(big.Int).Lsh(big.NewInt(1), uint(8*size))
	return b.Add(b, n).FillBytes(make([]byte, size))
}

var zeroDigits = bytes.Repeat([]byte{'0'}, 1000)

// appendDecimal writes numeric(precision, scale): the number without its point.
func appendDecimal(precision, scale int) AppendFunc {
	return func(dst, text []byte) ([]byte, error) {
		d, err := parseDecimal(text)
		if err != nil {
			return dst, err
		}
		if extra := len(d.fraction) - scale; extra > 0 {
			// Digits beyond the scale: the column's type was changed since.
			if len(bytes.Trim(d.fraction[scale:], "0")) > 0 {
				return dst, errNoForm
			}
			d.fraction = d.fraction[:scale]
		}
		missing := scale - len(d.fraction)
		if missing > len(zeroDigits) {
			return dst, errSyntax
		}
		d.whole = bytes.TrimLeft(d.whole, "0")
		if len(d.whole) > precision-scale {
			return dst, errNoForm
		}
		return appendUnscaled(dst, d.negative, d.whole, d.fraction, zeroDigits[:missing]), nil
	}
}

// appendVariableScale writes numeric without a declared scale, each number with
// its own.
func appendVariableScale(dst, text []byte) ([]byte, error) {
	d, err := parseDecimal(text)
	if err != nil {
		return dst, err
	}
	dst = appendLong(dst, int64(len(d.fraction)))
	return appendUnscaled(dst, d.negative, d.whole, d.fraction), nil
}

// appendMoney writes money, whose text is like -$1,234.50 under lc_monetary C.
func appendMoney(dst, text []byte) ([]byte, error) {
	var scratch [40]byte
	plain := scratch[:0]
	for _, c := range text {
		if c != '$' && c != ',' {
			plain = append(plain, c)
		}
	}
	return appendDecimal(64, 2)(dst, plain)
}
