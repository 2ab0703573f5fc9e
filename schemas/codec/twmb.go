package codec

import (
	"errors"
	"fmt"

	"github.com/twmb/avro"
)

// twmb is the Codec by github.com/twmb/avro. No other file knows that module.
type twmb struct {
	schema *avro.Schema
}

func newTwmb(text string) (twmb, error) {
	s, err := avro.Parse(text)
	if err != nil {
		return twmb{}, err
	}
	return twmb{schema: s}, nil
}

func (c twmb) AppendEncode(dst []byte, v any) ([]byte, error) {
	return c.schema.AppendEncode(dst, v)
}

func (c twmb) Decode(src []byte, v any) error {
	rest, err := c.schema.Decode(src, v)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d of %d", ErrTrailingBytes, len(rest), len(src))
	}
	return nil
}

// resolve returns the codec from writer c to reader.
func (c twmb) resolve(reader twmb) (Codec, error) {
	s, err := avro.Resolve(c.schema, reader.schema)
	if err != nil {
		var ce *avro.CompatibilityError
		if errors.As(err, &ce) {
			return nil, &ResolveError{Path: ce.Path, Detail: ce.Detail, Writer: ce.WriterType, Reader: ce.ReaderType}
		}
		return nil, err
	}
	return twmb{schema: s}, nil
}

// ResolveError says why what one schema wrote cannot be read as another.
type ResolveError struct {
	// Path leads to the element, such as Order.lines.sku.
	Path string
	// Writer and Reader are the two types found there.
	Writer, Reader string
	// Detail says what is wrong.
	Detail string
}

func (e *ResolveError) Error() string { return "avro: " + e.Path + ": " + e.Reason() }

// Reason is the error without the path.
func (e *ResolveError) Reason() string {
	if e.Writer == e.Reader || e.Writer == "" || e.Reader == "" {
		return e.Detail
	}
	return fmt.Sprintf("written as %s, read as %s: %s", e.Writer, e.Reader, e.Detail)
}
