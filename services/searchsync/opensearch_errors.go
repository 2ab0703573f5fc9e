package searchsync

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/opensearch-project/opensearch-go/v4"
)

// UnavailableError says that the search engine cannot do its work now, and that
// waiting may help: it cannot be reached, it is not well, it asks for less
// (Busy), or it does not let us in yet.
type UnavailableError struct {
	// Status is the HTTP status of the answer, 0 if there was none that could be
	// read.
	Status int
	// Busy says that it is well but has more to do than it can take (status 429).
	Busy bool
	Err  error
}

func (e *UnavailableError) Error() string {
	switch {
	case e.Busy:
		return fmt.Sprintf("the search engine is busy: %v", e.Err)
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return fmt.Sprintf("the search engine refuses access (check user and password in QUOKKA_SEARCH_URL, and that its disk is not full): %v", e.Err)
	case e.Status == 0:
		return fmt.Sprintf("no proper answer from the search engine: %v", e.Err)
	}
	return fmt.Sprintf("the search engine is not well: %v", e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// DocumentError says that the search engine will never take a document as it is.
// Other documents are not concerned.
type DocumentError struct {
	Kind   Kind
	ID     string
	Reason string
}

func (e *DocumentError) Error() string {
	return fmt.Sprintf("document %s/%s is refused: %s", e.Kind, e.ID, e.Reason)
}

// MappingError says that an index exists with another mapping than ours.
type MappingError struct {
	Index string
	Err   error
}

func (e *MappingError) Error() string {
	return fmt.Sprintf("index %s was made with another mapping: delete it and reset the group %s, and it is built again from the topics: %v", e.Index, Name, e.Err)
}

func (e *MappingError) Unwrap() error { return e.Err }

// statusOf is the HTTP status of an answer, 0 if there was none that could be
// read.
func statusOf(resp *opensearch.Response) int {
	if resp == nil {
		return 0
	}
	return resp.StatusCode
}

// typeOf is the exception's name in an error of the engine.
func typeOf(err error) string {
	var structured *opensearch.StructError
	if errors.As(err, &structured) {
		return structured.Err.Type
	}
	return ""
}

// reasonOf is what the engine says at the root of an error.
func reasonOf(err error) string {
	var structured *opensearch.StructError
	if errors.As(err, &structured) && len(structured.Err.RootCause) > 0 {
		return structured.Err.RootCause[0].Reason
	}
	return err.Error()
}

// unavailable makes an error of a request that failed as a whole.
func unavailable(resp *opensearch.Response, err error) error {
	status := statusOf(resp)
	return &UnavailableError{Status: status, Busy: status == http.StatusTooManyRequests, Err: err}
}
