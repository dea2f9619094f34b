package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// How Argo CD 3 runs a script for one resource is in its util/lua, which cannot be imported from outside its
// repository. This file opens the same interpreter in the same way.

// scriptTime is how long Argo CD lets a script run.
const scriptTime = time.Second

// luaHealth returns the verdict of a health.lua.
func luaHealth(script string, object *unstructured.Unstructured) (Reply, error) {
	result, err := run(script, object)
	if err != nil {
		return Reply{}, err
	}
	var health struct{ Status, Message string }
	if err := json.Unmarshal(result, &health); err != nil {
		return Reply{}, err
	}
	switch health.Status {
	case "Unknown", "Progressing", "Suspended", "Healthy", "Degraded", "Missing":
		return Reply{Status: health.Status, Message: health.Message}, nil
	}
	return Reply{}, fmt.Errorf("Argo CD has no health status %q", health.Status)
}

// luaActions returns the actions of a discovery.lua, and which of them are enabled.
func luaActions(script string, object *unstructured.Unstructured) (Reply, error) {
	result, err := run(script, object)
	if err != nil {
		return Reply{}, err
	}
	actions := map[string]bool{}
	if string(result) == "[]" {
		return Reply{Actions: actions}, nil
	}
	var found map[string]any
	if err := json.Unmarshal(result, &found); err != nil {
		return Reply{}, err
	}
	for name, action := range found {
		fields, _ := action.(map[string]any)
		disabled, _ := fields["disabled"].(bool)
		actions[name] = !disabled
	}
	return Reply{Actions: actions}, nil
}

// luaRun returns the changed object of an action.lua, and the merge patch that Argo CD sends for it.
func luaRun(script string, object *unstructured.Unstructured) (Reply, error) {
	before, err := json.Marshal(object.Object)
	if err != nil {
		return Reply{}, err
	}
	result, err := run(script, object)
	if err != nil {
		return Reply{}, err
	}
	var changed map[string]any
	if err := json.Unmarshal(result, &changed); err != nil {
		return Reply{}, err
	}
	after, err := json.Marshal(withEmptyObjects(changed, object.Object))
	if err != nil {
		return Reply{}, err
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	return Reply{Patch: patch, Object: after}, err
}

// run runs a script as Argo CD does in a cluster, and returns the table that the script returns as JSON. The global
// os does not exist: a script has to require it.
func run(script string, object *unstructured.Unstructured) ([]byte, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	}
	for _, library := range libraries {
		open := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(open, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	safe := safeOs()
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int {
		state.Push(state.SetFuncs(state.NewTable(), safe))
		return 1
	})
	ctx, cancel := context.WithTimeout(context.Background(), scriptTime)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("actionParams", state.NewTable())
	state.SetGlobal("obj", toLua(state, object.Object))
	err := state.DoString(script)
	var failure *lua.ApiError
	if errors.As(err, &failure) && failure.Type == lua.ApiErrorRun {
		// A user of Argo CD reads the message without the stack.
		failure.StackTrace = ""
	}
	if err != nil {
		return nil, err
	}
	result := state.Get(-1)
	if result.Type() != lua.LTTable {
		return nil, fmt.Errorf("the script returns a %s, not a table", result.Type())
	}
	return luajson.Encode(result)
}

// safeOs returns the two functions of the library os that Argo CD keeps, which copied them from this interpreter.
func safeOs() map[string]lua.LGFunction {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	lua.OpenOs(state)
	all := state.Get(-1).(*lua.LTable)
	functions := map[string]lua.LGFunction{}
	for _, name := range []string{"time", "date"} {
		functions[name] = all.RawGetString(name).(*lua.LFunction).GFunction
	}
	return functions
}

// toLua returns a value of an object as Lua sees it.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetH(lua.LString(key), toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// withEmptyObjects returns the changed value with its empty objects. Lua has one empty table for objects and lists,
// and the encoder makes a list of it, so Argo CD looks at what the value was before.
func withEmptyObjects(changed, before any) any {
	switch changed := changed.(type) {
	case map[string]any:
		before, _ := before.(map[string]any)
		for key, value := range changed {
			changed[key] = withEmptyObjects(value, before[key])
		}
	case []any:
		if _, wasObject := before.(map[string]any); wasObject && len(changed) == 0 {
			return map[string]any{}
		}
		before, _ := before.([]any)
		for i := range min(len(changed), len(before)) {
			changed[i] = withEmptyObjects(changed[i], before[i])
		}
	}
	return changed
}
