// Package record is the byte level of Kafka's record batches, format version 2.
//
// A batch is checked as bytes and stored as bytes: Validate reads the 61-byte
// header by hand, checks the CRC, counts and, where asked, every record, without
// building one object per record; Stamp writes into the batch the few fields that
// a broker owns. Readers of internal topics use Reader, writers Builder.
//
// Errors that a client must see are *Error and carry the Kafka error code.
package record
