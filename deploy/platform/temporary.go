package platform

import (
	"os"
	"path/filepath"
)

const temporaryPrefix = "quokka-demo-"

// TemporaryDir makes a data directory for a platform that keeps nothing, and
// removes those that killed platforms left behind.
func TemporaryDir() (string, error) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		// One without a lock file may be in the making.
		if _, err := os.Stat(filepath.Join(dir, lockFile)); err != nil {
			continue
		}
		if free, err := lockIsFree(dir); err == nil && free {
			_ = os.RemoveAll(dir)
			_ = os.Remove(dir + ".log") // of a demo that was killed
		}
	}
	dir, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return "", err
	}
	// PostgreSQL's account must get through; its own directory inside is private.
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // see above
}
