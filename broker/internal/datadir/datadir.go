// Package datadir makes directories that a power cut does not take away: a new
// directory's name is durable only once the directory that holds it was synced.
package datadir

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Make makes a directory and its missing parents, and makes their names durable. Where
// the directory is there and its parent may not be read, its name is taken as durable.
func Make(disk fsys.FS, dir string) error {
	there := path.Clean(dir) // the first directory that exists, looking upwards
	var missing []string
	for there != path.Dir(there) {
		if _, err := disk.Stat(there); err == nil || !errors.Is(err, fsys.ErrNotExist) {
			break
		}
		missing = append(missing, there)
		there = path.Dir(there)
	}
	// Who made it may have been killed before its name was durable.
	if err := disk.SyncDir(path.Dir(there)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// One at a time, so that only the last name may be found without being durable.
	for _, d := range slices.Backward(missing) {
		if err := disk.MkdirAll(d); err != nil {
			return err
		}
		if err := disk.SyncDir(path.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}
