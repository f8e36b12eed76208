// Package ci knows CI systems: which variables identify each of them and the current job,
// how a value is kept out of the job's log, and how a step sets variables for later steps.
//
// It is tables and text: it reads the environment only through a function that it is
// given, writes no file and starts no process. It knows neither runs nor deliveries.
package ci

import (
	"crypto/sha256"
	"encoding/base32"
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

// Systems are all of them, in the order in which [Detect] tries them.
var Systems = []System{GitHub, GitLab, Buildkite, CircleCI, Generic}

// Our own variables, for jobs of systems that are not in the table.
const (
	// EnvJob identifies the job; envURL is the page of the job.
	EnvJob = "TASKIAM_CI_JOB"
	envURL = "TASKIAM_CI_URL"
	// envIndex tells the jobs of a matrix apart, on every system.
	envIndex = "TASKIAM_CI_INDEX"
)

// profile is one system in the table.
type profile struct {
	// mark is the variable that is "true" in each of its jobs.
	mark string
	// identity has the variables that tell the job from every other one. They are the same
	// in all of its steps.
	identity []string
	// label says to people which job it is, and is empty if the environment does not say
	// that. Two jobs may have the same one.
	label, url func(getenv func(string) string) string
	// workspaces and temps are variables that name folders: where the job's code is, and
	// where its own temporary files are.
	workspaces, temps []string
	// file is the variable that names the file in which a step sets variables for later
	// steps. It is empty if the system has none: then they are set in the step's own shell.
	file string
}

var profiles = map[System]profile{
	// docs.github.com/en/actions/reference/workflows-and-actions/variables
	GitHub: {
		mark: "GITHUB_ACTIONS",
		// The jobs of a matrix have the same name, and may have the same runner, one after
		// the other: the Action puts their number into envIndex.
		identity: []string{
			"GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB", "RUNNER_NAME",
		},
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
		identity:   []string{"CI_SERVER_URL", "CI_PROJECT_PATH", "CI_JOB_ID", "CI_NODE_INDEX"},
		label:      func(get func(string) string) string { return whole("%s:%s", get("CI_PROJECT_PATH"), get("CI_JOB_ID")) },
		url:        func(get func(string) string) string { return get("CI_JOB_URL") },
		workspaces: []string{"CI_PROJECT_DIR"},
	},
	// buildkite.com/docs/pipelines/configure/environment-variables
	Buildkite: {
		mark: "BUILDKITE",
		identity: []string{
			"BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG", "BUILDKITE_BUILD_NUMBER", "BUILDKITE_JOB_ID",
			"BUILDKITE_RETRY_COUNT", "BUILDKITE_PARALLEL_JOB",
		},
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
		identity: []string{
			"CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME", "CIRCLE_WORKFLOW_JOB_ID", "CIRCLE_BUILD_NUM",
			"CIRCLE_NODE_INDEX",
		},
		label: func(get func(string) string) string {
			return whole("%s/%s:%s.%s", get("CIRCLE_PROJECT_USERNAME"), get("CIRCLE_PROJECT_REPONAME"),
				or(get("CIRCLE_WORKFLOW_JOB_ID"), get("CIRCLE_BUILD_NUM")), or(get("CIRCLE_NODE_INDEX"), "0"))
		},
		url:        func(get func(string) string) string { return get("CIRCLE_BUILD_URL") },
		workspaces: []string{"CIRCLE_WORKING_DIRECTORY"}, file: "BASH_ENV",
	},
	// Jenkins names its builds by BUILD_TAG and BUILD_URL. The tags of jobs "a/b" and "a-b"
	// are the same.
	Generic: {
		mark:       "CI",
		identity:   []string{EnvJob, "BUILD_TAG", "JENKINS_URL", "JOB_NAME", "BUILD_NUMBER"},
		label:      func(get func(string) string) string { return or(get(EnvJob), get("BUILD_TAG")) },
		url:        func(get func(string) string) string { return or(get(envURL), get("BUILD_URL")) },
		workspaces: []string{"WORKSPACE"},
	},
}

// whole is fmt.Sprintf, but empty if one of the words is.
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

// Detect returns the system that the environment belongs to.
func Detect(getenv func(string) string) (System, bool) {
	for _, s := range Systems {
		// Some systems run the workflows of another one, and set its variables too, to
		// "true" as it does. In some people's shells CI is 1.
		if v := getenv(profiles[s].mark); v != "" && v != "false" && v != "0" {
			return s, true
		}
	}
	return "", false
}

// Job is the current job.
type Job struct {
	System System
	// Label identifies the job: "gitlab:acme/app:123+1k5…", where what follows the last + is
	// a hash of all that tells the job from others: no two jobs have the same label. It has
	// at most 200 bytes, all of [A-Za-z0-9._/:@+-], and is empty if the system does not say
	// which job this is.
	Label string
	// URL is the page of the job; empty if it is not known.
	URL string
	// Workspaces are folders with the job's code, which it may publish; Temp is the job's
	// own folder for temporary files. They are empty if the system names none.
	Workspaces []string
	Temp       string
	// File is the file to which variables for later steps are appended; empty if they are
	// printed, for the step's own shell.
	File string
}

const maxLabel = 200 // bytes

// JobOf returns the job that the environment describes, for a given system.
func JobOf(s System, getenv func(string) string) (Job, error) {
	p, ok := profiles[s]
	if !ok {
		return Job{}, fault.New(fault.Usage, "%q is not a known CI system", s)
	}
	j := Job{System: s, URL: p.url(getenv)}
	if label := p.label(getenv); label != "" {
		label = string(s) + ":" + clean(label+behind(":", getenv(envIndex)))
		hash := "+" + p.hash(getenv)
		j.Label = label[:min(len(label), maxLabel-len(hash))] + hash
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

// hash returns 20 characters, 100 bits, that stand for the whole identity of a job: what
// people can choose of it must not make it the same as another job's.
func (p profile) hash(getenv func(string) string) string {
	var values []string
	for _, name := range append(slices.Clone(p.identity), envIndex) {
		values = append(values, getenv(name))
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", values)) // quoted: no two lists look the same
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:20])
}

// CanExport returns why the job cannot set variables for its later steps: a [fault.Usage]
// if its system does that by a file that the environment does not name.
func (j Job) CanExport() error {
	if name := profiles[j.System].file; name != "" && j.File == "" {
		return fault.New(fault.Usage,
			"this is not a job of %s: $%s, with which it exports variables, is not set", j.System, name)
	}
	return nil
}

// clean makes a part of a label of a name that people choose freely.
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

// CanMask reports whether a running job can have a value masked. GitLab, CircleCI and
// others mask only values that were stored with them before.
func (s System) CanMask() bool { return s == GitHub || s == Buildkite }

// shortest is the length of the shortest line that is masked. A shorter one is no secret,
// and would be masked wherever it occurs in the log by chance.
const shortest = 12

// Mask returns how to tell the system to mask the secrets in its log: each line by itself,
// since systems mask line by line. It is the zero value if there is no way.
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

// Pairs returns variables, NAME=VALUE each, as GitHub's files take them: GITHUB_ENV,
// GITHUB_OUTPUT and GITHUB_STATE. A value of several lines is a [fault.Usage]: it could be
// read as further variables.
func Pairs(vars []string) (string, error) {
	var b strings.Builder
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		if name == "" || strings.ContainsAny(name, "<\r\n") || strings.ContainsAny(value, "\r\n\x00") {
			return "", fault.New(fault.Usage, "the value of %s has more than one line: %q", name, value)
		}
		b.WriteString(name + "=" + value + "\n")
	}
	return b.String(), nil
}
