// Package rowavro turns PostgreSQL's text of a row into Avro: Debezium's
// envelope and its key, as package schemas/debezium describes them, written
// straight from the text without a value in between. What it writes, the codec
// reads back to the values the schema package promises (a test holds the two
// together).
//
// One text gives one encoding. The snapshot and the stream both bring text made
// under the same session settings, so a row reads the same from either.
//
// Three things a value can be besides itself and null:
//
//   - Not sent: a value stored out of line that an update did not touch. It is
//     null, and its field is named in Event.Unavailable.
//   - Without a form in its Avro type: numeric NaN and infinities, a moment
//     beyond 64 bits of microseconds, an array of several dimensions. It is null,
//     and its field is named in Event.Unrepresentable.
//   - Not what its type promises, such as text that is not UTF-8. That is a
//     *ValueError, and the row cannot be written.
package rowavro
