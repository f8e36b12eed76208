package wire

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// walk calls visit with a pointer to every addressable struct below v, v included.
func walk(v reflect.Value, visit func(any)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), visit)
		}
	case reflect.Struct:
		if v.CanAddr() {
			visit(v.Addr().Interface())
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walk(v.Field(i), visit)
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			walk(v.MapIndex(k), visit)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				walk(v.Index(i), visit)
			}
		}
	}
}

// canonical returns v as what JSON can say of it, without the fields tagged
// snapshot:"-", without empty policies, and without what is empty.
func canonical(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, nil
		}
		return canonical(v.Elem())
	case reflect.Struct:
		if p, ok := v.Interface().(iam.Policy); ok && p.Empty() {
			return nil, nil
		}
		if m, ok := v.Interface().(json.Marshaler); ok {
			return canonicalJSON(m)
		}
		return canonicalStruct(v)
	case reflect.Map:
		if v.Len() == 0 {
			return nil, nil
		}
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			c, err := canonical(v.MapIndex(k))
			if err != nil {
				return nil, err
			}
			out[k.String()] = c
		}
		return out, nil
	case reflect.Slice:
		if v.Len() == 0 {
			return nil, nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return canonicalJSON(v.Interface())
		}
		out := make([]any, v.Len())
		for i := range v.Len() {
			c, err := canonical(v.Index(i))
			if err != nil {
				return nil, err
			}
			out[i] = c
		}
		return out, nil
	}
	return v.Interface(), nil
}

// canonicalStruct returns the fields of a struct as [canonical] does.
func canonicalStruct(v reflect.Value) (any, error) {
	out := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Tag.Get("snapshot") == "-" || v.Field(i).IsZero() {
			continue
		}
		c, err := canonical(v.Field(i))
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if name == "" {
			name = f.Name
		}
		out[name] = c
	}
	return out, nil
}

// canonicalJSON returns what JSON says of v, with the keys of objects in order.
func canonicalJSON(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(raw, &out)
}
