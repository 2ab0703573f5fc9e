package registry

import (
	"runtime/debug"
	"strings"
)

// Answers about configuration, modes and the server itself.

// configScope is what a config request is about. A client that encodes the
// subject as a query string sends + for a space.
func (s *Server) configScope(r *request) string {
	scope := r.scope()
	if r.Method != "DELETE" || !strings.Contains(scope, "+") {
		return scope
	}
	spaced := strings.ReplaceAll(scope, "+", " ")
	s.store.view(func(st *state) {
		if _, ok := st.settings[scope]; ok {
			return
		}
		if _, ok := st.settings[spaced]; ok {
			scope = spaced
		}
	})
	return scope
}

func (s *Server) getConfig(r *request) (any, error) {
	scope := s.configScope(r)
	var out Settings
	ok := true
	s.store.view(func(st *state) {
		if r.flag("defaultToGlobal") {
			out = s.settings(st, scope)
		} else {
			out, ok = s.ownSettings(st, scope)
		}
	})
	if !ok {
		return nil, errorf(404, codeNoSubjectLevel, "Subject '%s' does not have subject-level compatibility configured", scope)
	}
	return out, nil
}

func (s *Server) putConfig(r *request) (any, error) {
	var update settingsUpdate
	if err := r.decode(&update, settingsFields); err != nil {
		return nil, err
	}
	now, err := s.putSettings(r.Context(), s.configScope(r), update)
	if err != nil {
		return nil, err
	}
	// The answer repeats the settings under the names of the request.
	level := now.CompatibilityLevel
	now.CompatibilityLevel = ""
	return struct {
		Compatibility string `json:"compatibility,omitempty"`
		Settings
	}{level, now}, nil
}

func (s *Server) removeConfig(r *request) (any, error) {
	return s.deleteSettings(r.Context(), s.configScope(r))
}

// modeBody is the body of mode requests and answers.
type modeBody struct {
	Mode *string `json:"mode"`
}

func (s *Server) getMode(r *request) (any, error) {
	scope := r.scope()
	var mode string
	ok := true
	s.store.view(func(st *state) {
		if r.flag("defaultToGlobal") {
			mode = st.modeInScope(scope)
		} else {
			mode, ok = s.ownMode(st, scope)
		}
	})
	if !ok {
		return nil, errorf(404, codeNoSubjectMode, "Subject '%s' does not have subject-level mode configured", scope)
	}
	return modeBody{&mode}, nil
}

func (s *Server) putModeTo(r *request) (any, error) {
	var body modeBody
	if err := r.decode(&body, []string{"mode"}); err != nil {
		return nil, err
	}
	mode := ""
	if body.Mode != nil {
		mode = strings.ToUpper(*body.Mode)
	}
	if err := s.putMode(r.Context(), r.scope(), mode, r.flag("force")); err != nil {
		return nil, err
	}
	return modeBody{&mode}, nil
}

func (s *Server) removeMode(r *request) (any, error) {
	old, err := s.deleteMode(r.Context(), r.scope(), r.flag("recursive"))
	if err != nil {
		return nil, err
	}
	if old == "" {
		return modeBody{}, nil
	}
	return modeBody{&old}, nil
}

func (s *Server) getClusterID(*request) (any, error) {
	return map[string]any{"id": "", "scope": map[string]any{
		"path":     []string{},
		"clusters": map[string]string{"kafka-cluster": s.cluster, "schema-registry-cluster": "schema-registry"},
	}}, nil
}

func (s *Server) getServerVersion(*request) (any, error) {
	version, commit := "0.0.0", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v, found := strings.CutPrefix(info.Main.Version, "v"); found {
			version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return map[string]string{"version": version, "commitId": commit}, nil
}
