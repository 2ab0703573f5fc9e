package registry

import (
	"context"
	"strings"
)

// putSettings changes the settings of a scope and returns them.
func (s *Server) putSettings(ctx context.Context, scope string, update settingsUpdate) (Settings, error) {
	if !validSubject(scope, true) {
		return Settings{}, errorf(422, codeInvalidSubject, "The specified subject '%s' is not a valid.", scope)
	}
	var result Settings
	err := s.store.update(ctx, func(st *state) ([]record, error) {
		if readOnly(st.modeInScope(scope)) {
			return nil, errReadOnly(scope)
		}
		next, err := update.apply(st.settings[scope])
		if err != nil {
			return nil, errorf(422, 422, "Invalid configuration: %v", err)
		}
		if problem := next.validate(); problem != nil {
			return nil, problem
		}
		result = next
		return []record{settingsRecord(scope, next)}, nil
	})
	return result, err
}

// ownSettings returns the settings made for a scope, with the compatibility
// level in force there.
func (s *Server) ownSettings(st *state, scope string) (Settings, bool) {
	own, ok := st.settings[scope]
	if !ok && scope != "" && scope != contextPrefix(globalContext) {
		return Settings{}, false
	}
	if own.CompatibilityLevel == "" {
		own.CompatibilityLevel = s.settings(st, scope).CompatibilityLevel
	}
	return own, true
}

// deleteSettings removes the settings of a scope and returns what they were.
func (s *Server) deleteSettings(ctx context.Context, scope string) (Settings, error) {
	var old Settings
	err := s.store.update(ctx, func(st *state) ([]record, error) {
		var ok bool
		if old, ok = s.ownSettings(st, scope); !ok {
			return nil, errSubjectNotFound(scope)
		}
		if readOnly(st.modeInScope(scope)) {
			return nil, errReadOnly(scope)
		}
		if _, exists := st.settings[scope]; !exists {
			return nil, nil
		}
		return []record{{key: settingsKey(scope)}}, nil
	})
	return old, err
}

// putMode changes the mode of a scope. Import mode takes ids as given, so
// nothing may exist there that an imported id could contradict, unless forced.
func (s *Server) putMode(ctx context.Context, scope, mode string, force bool) error {
	if !validSubject(scope, true) {
		return errorf(422, codeInvalidSubject, "The specified subject '%s' is not a valid.", scope)
	}
	switch mode {
	case modeReadWrite, modeReadOnly, modeOverride, modeImport:
	case modeForward:
		if scope != "" && scope != contextPrefix(globalContext) {
			return errorf(422, codeInvalidMode, "Forward mode only supported on global level")
		}
	default:
		return errorf(422, codeInvalidMode, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT and FORWARD.")
	}
	return s.store.update(ctx, func(st *state) ([]record, error) {
		if mode != modeImport || st.modeInScope(scope) == modeImport || force {
			return []record{modeRecord(scope, mode)}, nil
		}
		if st.has(scope, false) {
			return nil, errNotPermitted("Cannot import since found existing subjects")
		}
		var tombstones []record
		contexts := map[string]bool{}
		for subject := range st.inScope(scope) {
			contexts[contextOf(subject)] = true
			for _, e := range st.versions(subject, filter{deleted: true}) {
				if len(st.references(subject, e.version, true)) > 0 {
					return nil, errReferenced(subject, e.version)
				}
				tombstones = append(tombstones, record{key: schemaKey(subject, e.version)})
			}
		}
		var records []record
		for context := range contexts {
			if records = st.markBefore(context); records != nil {
				break
			}
		}
		records = append(records, tombstones...)
		return append(records, clearSubjectRecord(scope), modeRecord(scope, mode)), nil
	})
}

// ownMode returns the mode set for a scope; "" asks for the global one, which
// always exists.
func (s *Server) ownMode(st *state, scope string) (string, bool) {
	if m, ok := st.modes[scope]; ok {
		return m, true
	}
	if scope == "" || scope == contextPrefix(globalContext) {
		return modeReadWrite, true
	}
	return "", false
}

// deleteMode removes the mode of a scope, and with recursive those of all
// subjects in a context. It returns what the mode was, "" for none.
func (s *Server) deleteMode(ctx context.Context, scope string, recursive bool) (string, error) {
	var old string
	err := s.store.update(ctx, func(st *state) ([]record, error) {
		var ok bool
		if old, ok = s.ownMode(st, scope); !ok && !recursive {
			return nil, errSubjectNotFound(scope)
		}
		var records []record
		for other := range st.modes {
			q := parseSubject(scope)
			within := recursive && q.subject == "" && contextOf(other) == q.context && !strings.HasPrefix(other, contextPrefix(globalContext))
			if other == scope || within {
				records = append(records, record{key: modeKey(other)})
			}
		}
		return records, nil
	})
	return old, err
}
