// Package avro holds the platform's event schemas, the source of truth for
// everything in package events. A file is one named Avro type,
// <domain>/<Name>.avsc, in namespace quokka.<domain>.v<major>; a type names the
// others it uses by full name. Limits that Avro cannot express are field
// properties in JSON Schema's words (minimum, maximum, minLength, maxLength,
// minItems, maxItems) which the generated Validate methods enforce.
//
// After a change run `schemas generate`, which writes package events anew, and
// `schemas release`, which records the event's next version in
// <domain>/history, complete in itself. `schemas check` runs in every build and
// compares each event with its recorded versions: it refuses a change that old
// readers or old data would not survive, and one that is not recorded.
package avro

import "embed"

// Files are the .avsc files, under one directory per domain.
//
//go:embed */*.avsc
var Files embed.FS
