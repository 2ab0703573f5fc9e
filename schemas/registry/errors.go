package registry

import "fmt"

// Error is an answer other than success, as clients see it.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code is Confluent's error code, or the status where there is none.
	Code int `json:"error_code"`
	// Message says what is wrong.
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Error codes. The first three digits are the HTTP status.
const (
	codeSubjectNotFound     = 40401
	codeVersionNotFound     = 40402
	codeSchemaNotFound      = 40403
	codeSubjectSoftDeleted  = 40404
	codeSubjectNotDeleted   = 40405
	codeVersionSoftDeleted  = 40406
	codeVersionNotDeleted   = 40407
	codeNoSubjectLevel      = 40408
	codeNoSubjectMode       = 40409
	codeIncompatible        = 40901
	codeInvalidSchema       = 42201
	codeInvalidVersion      = 42202
	codeInvalidLevel        = 42203
	codeInvalidMode         = 42204
	codeNotPermitted        = 42205
	codeReferenceExists     = 42206
	codeInvalidSubject      = 42208
	codeSchemaTooLarge      = 42209
	codeInvalidRuleSet      = 42210
	codeContextNotEmpty     = 42211
	codeStore               = 50001
	codeTimeout             = 50002
	messageIncompatible     = "Schema being registered is incompatible with an earlier schema for subject %q, details: [%s]"
	messageSchemaNotFound   = "Schema not found"
	messageSchemaIDNotFound = "Schema %d not found"
)

func errorf(status, code int, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func errSubjectNotFound(subject string) *Error {
	return errorf(404, codeSubjectNotFound, "Subject '%s' not found.", subject)
}

func errVersionNotFound(version int) *Error {
	return errorf(404, codeVersionNotFound, "Version %d not found.", version)
}

func errSchemaNotFound() *Error { return errorf(404, codeSchemaNotFound, messageSchemaNotFound) }

func errSchemaIDNotFound(id int) *Error {
	return errorf(404, codeSchemaNotFound, messageSchemaIDNotFound, id)
}

func errInvalidVersion(version string) *Error {
	return errorf(422, codeInvalidVersion, "The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", version)
}

func errInvalidLevel() *Error {
	return errorf(422, codeInvalidLevel, "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive")
}

func errInvalidSchema(format string, args ...any) *Error {
	return errorf(422, codeInvalidSchema, format, args...)
}

func errNotPermitted(format string, args ...any) *Error {
	return errorf(422, codeNotPermitted, format, args...)
}

func errReadOnly(subject string) *Error {
	return errNotPermitted("Subject %s in context %s is in read-only mode", subject, contextOf(subject))
}

func errReferenced(subject string, version int) *Error {
	return errorf(422, codeReferenceExists, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=%s,version=%d}.", subject, version)
}
