package registry

import (
	"context"
	"slices"
	"strconv"
)

// deleteSubject deletes the versions of a subject: softly, so that ids stay
// readable and checks pass over them, or for good, which only soft-deleted
// versions can be. It returns the versions deleted.
func (s *Server) deleteSubject(ctx context.Context, subject string, permanent bool) ([]int, error) {
	var versions []int
	err := s.store.update(ctx, func(st *state) ([]record, error) {
		versions = nil
		all := st.versions(subject, filter{deleted: true})
		live := st.versions(subject, filter{})
		switch {
		case len(all) == 0:
			return nil, errSubjectNotFound(subject)
		case !permanent && len(live) == 0:
			return nil, errorf(404, codeSubjectSoftDeleted, "Subject '%s' was soft deleted. Set permanent=true to delete permanently", subject)
		case readOnly(st.modeInScope(subject)):
			return nil, errReadOnly(subject)
		}
		doomed := live
		if permanent {
			doomed = all
		}
		for _, e := range doomed {
			if slices.ContainsFunc(st.references(subject, e.version, permanent), func(from *entry) bool { return from.subject != subject }) {
				return nil, errReferenced(subject, e.version)
			}
			if permanent && !e.deleted {
				return nil, errorf(404, codeSubjectNotDeleted, "Subject '%s' was not deleted first before being permanently deleted", subject)
			}
			versions = append(versions, e.version)
		}
		if !permanent {
			return []record{deleteSubjectRecord(subject, doomed[len(doomed)-1].version)}, nil
		}
		records := st.markBefore(contextOf(subject))
		// Newest first: a version may refer to an older one.
		for _, e := range slices.Backward(doomed) {
			records = append(records, record{key: schemaKey(subject, e.version)})
		}
		return append(records, st.forgetSettings(subject)...), nil
	})
	if err == nil {
		s.logger.Info("subject deleted", "subject", subject, "versions", len(versions), "permanent", permanent)
	}
	return versions, err
}

// deleteVersion deletes one version of a subject, as deleteSubject does all.
func (s *Server) deleteVersion(ctx context.Context, subject string, version int, permanent bool) (int, error) {
	var deleted int
	err := s.store.update(ctx, func(st *state) ([]record, error) {
		e := st.version(subject, version, true)
		switch {
		case e == nil && len(st.subjects[subject]) == 0:
			return nil, errSubjectNotFound(subject)
		case e == nil:
			return nil, errVersionNotFound(version)
		case e.deleted && !permanent:
			return nil, errorf(404, codeVersionSoftDeleted, "Subject '%s' Version %d was soft deleted. Set permanent=true to delete permanently", subject, e.version)
		case readOnly(st.modeInScope(subject)):
			return nil, errReadOnly(subject)
		case len(st.references(subject, e.version, permanent)) > 0:
			return nil, errReferenced(subject, e.version)
		case permanent && !e.deleted:
			return nil, errorf(404, codeVersionNotDeleted, "Subject '%s' Version %s was not deleted first before being permanently deleted", subject, strconv.Itoa(e.version))
		}
		deleted = e.version
		if !permanent {
			gone := *e
			gone.deleted = true
			return []record{schemaRecord(&gone)}, nil
		}
		records := append(st.markBefore(contextOf(subject)), record{key: schemaKey(subject, e.version)})
		if len(st.subjects[subject]) == 1 {
			records = append(records, st.forgetSettings(subject)...)
		}
		return records, nil
	})
	if err == nil {
		s.logger.Info("version deleted", "subject", subject, "version", deleted, "permanent", permanent)
	}
	return deleted, err
}

// forgetSettings removes what was set for a subject that is no more.
func (st *state) forgetSettings(subject string) []record {
	var records []record
	if _, ok := st.modes[subject]; ok {
		records = append(records, record{key: modeKey(subject)})
	}
	if _, ok := st.settings[subject]; ok {
		records = append(records, record{key: settingsKey(subject)})
	}
	return records
}

// deleteContext forgets an empty context.
func (s *Server) deleteContext(ctx context.Context, context string) error {
	return s.store.update(ctx, func(st *state) ([]record, error) {
		if st.has(contextPrefix(context), true) {
			return nil, errorf(422, codeContextNotEmpty, "The specified context '%s' is not empty.", contextPrefix(context))
		}
		if !st.named[context] {
			return nil, nil
		}
		return append(st.markBefore(context), record{key: contextKey(context)}), nil
	})
}
