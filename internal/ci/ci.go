// Package ci knows CI systems: by which variables each of them is recognised, which job
// is at work, how a value is kept out of its log, and how later steps get to know
// variables.
//
// It is tables and text: it reads no environment but by the function that it is given,
// writes no file and starts no process. It knows neither runs nor deliveries.
package ci

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

// System is a CI system.
type System string

// The systems that are known. Generic is every other one, and a plain shell.
const (
	GitHub    System = "github"
	GitLab    System = "gitlab"
	Buildkite System = "buildkite"
	CircleCI  System = "circleci"
	Generic   System = "generic"
)

// Systems are all of them, in the order in which they are looked for.
var Systems = []System{GitHub, GitLab, Buildkite, CircleCI, Generic}

// Variables of our own, for jobs of systems that are not known.
const (
	// EnvJob is what tells one job from another; EnvURL is where people see it.
	EnvJob = "TASKIAM_CI_JOB"
	EnvURL = "TASKIAM_CI_URL"
)

// profile is what is known of a system.
type profile struct {
	// mark is the variable that is "true" in each of its jobs.
	mark string
	// label and url name the job; label is empty where something of it is missing.
	label, url func(getenv func(string) string) string
	// workspaces and temps are variables that name folders: where the job's code is, and
	// where its own temporary files are.
	workspaces, temps []string
	// file is the variable that names the file by which a step exports variables to
	// those after it; where it is empty, the step's own shell is the way.
	file string
}

var profiles = map[System]profile{
	// docs.github.com/en/actions/reference/workflows-and-actions/variables
	GitHub: {
		mark: "GITHUB_ACTIONS",
		// The jobs of a matrix have one name, and each a runner of its own.
		label: func(get func(string) string) string {
			return whole("%s:%s.%s:%s", get("GITHUB_REPOSITORY"), get("GITHUB_RUN_ID"), or(get("GITHUB_RUN_ATTEMPT"), "1"), get("GITHUB_JOB")) + behind("@", get("RUNNER_NAME"))
		},
		url: func(get func(string) string) string {
			return whole("%s/%s/actions/runs/%s/attempts/%s", get("GITHUB_SERVER_URL"), get("GITHUB_REPOSITORY"), get("GITHUB_RUN_ID"), or(get("GITHUB_RUN_ATTEMPT"), "1"))
		},
		workspaces: []string{"GITHUB_WORKSPACE"}, temps: []string{"RUNNER_TEMP"}, file: "GITHUB_ENV",
	},
	// docs.gitlab.com/ci/variables/predefined_variables
	GitLab: {
		mark:       "GITLAB_CI",
		label:      func(get func(string) string) string { return whole("%s:%s", get("CI_PROJECT_PATH"), get("CI_JOB_ID")) },
		url:        func(get func(string) string) string { return get("CI_JOB_URL") },
		workspaces: []string{"CI_PROJECT_DIR"},
	},
	// buildkite.com/docs/pipelines/configure/environment-variables
	Buildkite: {
		mark: "BUILDKITE",
		label: func(get func(string) string) string {
			return whole("%s/%s:%s:%s", get("BUILDKITE_ORGANIZATION_SLUG"), get("BUILDKITE_PIPELINE_SLUG"), get("BUILDKITE_BUILD_NUMBER"), get("BUILDKITE_JOB_ID"))
		},
		url: func(get func(string) string) string {
			return whole("%s#%s", get("BUILDKITE_BUILD_URL"), get("BUILDKITE_JOB_ID"))
		},
		workspaces: []string{"BUILDKITE_BUILD_CHECKOUT_PATH"},
	},
	// circleci.com/docs/reference/variables
	CircleCI: {
		mark: "CIRCLECI",
		label: func(get func(string) string) string {
			return whole("%s/%s:%s.%s", get("CIRCLE_PROJECT_USERNAME"), get("CIRCLE_PROJECT_REPONAME"),
				or(get("CIRCLE_WORKFLOW_JOB_ID"), get("CIRCLE_BUILD_NUM")), or(get("CIRCLE_NODE_INDEX"), "0"))
		},
		url:        func(get func(string) string) string { return get("CIRCLE_BUILD_URL") },
		workspaces: []string{"CIRCLE_WORKING_DIRECTORY"}, file: "BASH_ENV",
	},
	// Jenkins names its builds by BUILD_TAG and BUILD_URL.
	Generic: {
		mark:       "CI",
		label:      func(get func(string) string) string { return or(get(EnvJob), get("BUILD_TAG")) },
		url:        func(get func(string) string) string { return or(get(EnvURL), get("BUILD_URL")) },
		workspaces: []string{"WORKSPACE"},
	},
}

// whole is fmt.Sprintf of words none of which may be missing; else it is empty.
func whole(format string, words ...any) string {
	if slices.Contains(words, any("")) {
		return ""
	}
	return fmt.Sprintf(format, words...)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func behind(separator, word string) string {
	if word == "" {
		return ""
	}
	return separator + word
}

// Detect returns the system whose job the environment is.
func Detect(getenv func(string) string) (System, bool) {
	for _, s := range Systems {
		// Some runners of one system's workflows say that they are another's; they say
		// "true", as the systems do, and some people's shells say CI=1.
		if v := getenv(profiles[s].mark); v != "" && v != "false" && v != "0" {
			return s, true
		}
	}
	return "", false
}

// Job is the job at work.
type Job struct {
	System System
	// Label tells it from every other job of the system: "github:acme/app:123.1:build".
	// It has at most 200 bytes, all of [A-Za-z0-9._/:@+-], and is empty where the system
	// does not say which job this is.
	Label string
	// URL is where people see the job; empty where that is not known.
	URL string
	// Workspaces are folders with the job's code, which it may publish; Temp is its own
	// folder for temporary files. They are empty where the system has none to name.
	Workspaces []string
	Temp       string
	// File is where variables for later steps are appended; empty where they are printed,
	// for the step's own shell.
	File string
}

const maxLabel = 200 // bytes

// JobOf returns the job of the system that the environment is.
func JobOf(s System, getenv func(string) string) (Job, error) {
	p, ok := profiles[s]
	if !ok {
		return Job{}, fault.New(fault.Usage, "%q is no CI system that is known", s)
	}
	j := Job{System: s, Label: clean(p.label(getenv)), URL: p.url(getenv)}
	if j.Label != "" {
		j.Label = string(s) + ":" + j.Label
		j.Label = j.Label[:min(len(j.Label), maxLabel)]
	}
	for _, name := range p.workspaces {
		if dir := getenv(name); dir != "" {
			j.Workspaces = append(j.Workspaces, dir)
		}
	}
	for _, name := range p.temps {
		j.Temp = or(j.Temp, getenv(name))
	}
	if p.file != "" {
		j.File = getenv(p.file)
	}
	return j, nil
}

// CanExport returns why the job cannot hand variables to its later steps: a
// [fault.Usage] if its system does that by a file that the environment does not name.
func (j Job) CanExport() error {
	if name := profiles[j.System].file; name != "" && j.File == "" {
		return fault.New(fault.Usage,
			"this is no job of %s: $%s, by which it exports variables, is not set", j.System, name)
	}
	return nil
}

// clean makes a label of what people can name as they like.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/:@+-", r) {
			return r
		}
		return '-'
	}, s)
}

// Masking is how a system is told to keep values out of its log.
type Masking struct {
	// Print is what to write to standard output, whole, before anything else is.
	Print string
	// Command is a program to run, with Input as its standard input.
	Command []string
	Input   string
}

// CanMask reports whether the system can be told of a value while a job is at work.
// GitLab, CircleCI and others mask only what was kept with them before.
func (s System) CanMask() bool { return s == GitHub || s == Buildkite }

// shortest is how long the shortest line is that is masked: what is shorter is no secret,
// and everything in the log that has it in it would be blotted out.
const shortest = 12

// Mask returns how the system is told to keep the secrets out of its log: each line of
// each, since logs are read line by line. It is the zero value where there is no way.
func (s System) Mask(secrets ...secret.String) (Masking, error) {
	var lines []string
	for _, one := range secrets {
		for line := range strings.SplitSeq(one.Reveal(), "\n") {
			line = strings.TrimSpace(line)
			if len(line) >= shortest && !strings.HasPrefix(line, "-----") && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		return Masking{}, nil
	}
	switch s {
	case GitHub:
		// docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands;
		// what a command means by these characters is in its toolkit.
		escape := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
		var m Masking
		for _, line := range lines {
			m.Print += "::add-mask::" + escape.Replace(line) + "\n"
		}
		return m, nil
	case Buildkite:
		// buildkite.com/docs/agent/v3/cli-redactor
		values := map[string]string{}
		for i, line := range lines {
			values[fmt.Sprintf("TASKIAM_%d", i)] = line
		}
		input, err := json.Marshal(values)
		if err != nil {
			return Masking{}, err
		}
		return Masking{
			Command: []string{"buildkite-agent", "redactor", "add", "--format", "json"}, Input: string(input),
		}, nil
	default:
		return Masking{}, nil
	}
}

// Var is one variable.
type Var struct{ Name, Value string }

// Pairs returns variables as GitHub's files take them: GITHUB_ENV, GITHUB_OUTPUT and
// GITHUB_STATE. A value of several lines is a [fault.Usage]: it could be read as further
// variables.
func Pairs(vars []Var) (string, error) {
	var b strings.Builder
	for _, v := range vars {
		if v.Name == "" || strings.ContainsAny(v.Name, "=<\r\n") || strings.ContainsAny(v.Value, "\r\n\x00") {
			return "", fault.New(fault.Usage, "the value of %s has more than one line: %q", v.Name, v.Value)
		}
		b.WriteString(v.Name + "=" + v.Value + "\n")
	}
	return b.String(), nil
}
