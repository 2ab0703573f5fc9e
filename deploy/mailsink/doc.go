// Package mailsink is the SMTP server of a platform without a mail provider:
// it accepts every mail, delivers none, and shows what it got.
//
// A delivery is on disk before the client reads its 250, and every delivery is
// kept, repeated ones included, so that the sink's list says what the platform
// did and can be held against what it should have done. The list is served in
// the shape of Mailpit's API (GET /api/v1/messages), so that a reader of the
// one reads the other.
package mailsink
