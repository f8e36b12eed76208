package worktree

import (
	"path"
	"strings"
)

// The tables below say which files may run, by their names, in lower case: on some machines cases do not differ. A name
// may have its folder before it. What runs a file, and when, is in docs/isolation.md.

// files are names of files, wherever they lie.
var files = map[Kind]string{
	Git: ".gitattributes .gitmodules .gitconfig .lfsconfig",
	Shell: ".envrc .env .bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv .zprofile " +
		".zlogin .zlogout .kshrc .cshrc .tcshrc fish/config.fish .inputrc .xprofile .xsessionrc .xinitrc .tool-versions " +
		"mise.toml .mise.toml mise.local.toml .autoenv .autoenv.zsh .in .out .gdbinit .lldbinit .rprofile .renviron " +
		".irbrc .pryrc .pythonrc .sqliterc .psqlrc .tmux.conf .screenrc .curlrc .wgetrc devbox.json .hgrc .hg/hgrc",
	Editor: ".nvim.lua .nvimrc .exrc .vimrc .lvimrc .gvimrc .dir-locals.el .dir-locals-2.el .emacs .devcontainer.json " +
		"devcontainer.json .project .classpath",
	Agent: "claude.md claude.local.md agents.md agents.override.md agent.md gemini.md .mcp.json mcp.json mcp_config.json " +
		".cursorrules .windsurfrules .clinerules .roorules .aider.conf.yml .aider.conf.yaml .goosehints opencode.json " +
		"opencode.jsonc crush.json skill.md .claude.json",
	Start: "sitecustomize.py usercustomize.py conftest.py autorun.inf",
	Package: "package.json .npmrc .yarnrc .yarnrc.yml .yarnrc.yaml .pnpmfile.cjs .pnpmfile.mjs .pnpmfile.js " +
		"pnpm-workspace.yaml binding.gyp bunfig.toml deno.json deno.jsonc setup.py setup.cfg pyproject.toml pip.conf " +
		"pipfile tox.ini noxfile.py hatch_build.py cargo.toml build.rs rust-toolchain rust-toolchain.toml .cargo/config " +
		".cargo/config.toml gemfile rakefile composer.json mix.exs rebar.config package.swift pubspec.yaml build.yaml " +
		"cabal.project setup.hs stack.yaml project.clj deps.edn build.zig build.zig.zon pom.xml mvnw mvnw.cmd " +
		"build.gradle build.gradle.kts settings.gradle settings.gradle.kts init.gradle gradle.properties gradlew " +
		"gradlew.bat gradle-wrapper.properties gradle-wrapper.jar build.sbt build.sc build.xml ivy.xml directory.build.props " +
		"directory.build.targets nuget.config lerna.json nx.json turbo.json",
	Build: "makefile gnumakefile bsdmakefile cmakelists.txt cmakepresets.json cmakeuserpresets.json meson.build configure " +
		"configure.ac build workspace build.bazel workspace.bazel module.bazel .bazelrc tools/bazel .buckconfig buck " +
		"sconstruct sconscript wscript waf justfile .justfile taskfile.yml taskfile.yaml taskfile.dist.yml earthfile " +
		"tiltfile vagrantfile dockerfile containerfile compose.yml compose.yaml docker-compose.yml docker-compose.yaml " +
		"docker-compose.override.yml procfile flake.nix default.nix shell.nix magefile.go skaffold.yaml .terraformrc " +
		"terraform.rc .terraform.lock.hcl terragrunt.hcl xmake.lua premake5.lua dodo.py fabfile.py tasks.py gulpfile.js " +
		"gruntfile.js",
	CI: ".gitlab-ci.yml .travis.yml jenkinsfile azure-pipelines.yml bitbucket-pipelines.yml .drone.yml .woodpecker.yml " +
		".woodpecker.yaml cloudbuild.yaml cloudbuild.yml cloudbuild.json appveyor.yml .appveyor.yml .cirrus.yml " +
		"buildspec.yml buildspec.yaml action.yml action.yaml renovate.json renovate.json5 .goreleaser.yaml " +
		".goreleaser.yml .pre-commit-config.yaml .pre-commit-hooks.yaml lefthook.yml lefthook.yaml .lefthook.yml " +
		"lefthook-local.yml .overcommit.yml .lintstagedrc .huskyrc dagger.json",
}

// endings are names of files by what they end in.
var endings = map[Kind]string{
	Shell:   ".desktop .service .timer .plist",
	Editor:  ".code-workspace .sublime-project .iml",
	Start:   ".pth",
	Package: ".gemspec .config.js .config.cjs .config.mjs .config.ts .config.mts .config.cts rc.js rc.cjs rc.mjs .gyp .gypi",
	Build:   ".mk .mak .make .cmake .dockerfile .bzl .csproj .fsproj .vbproj .vcxproj .props .targets",
}

// beginnings are names of files by what they begin with.
var beginnings = map[Kind]string{
	Shell: ".env.",
	Build: "dockerfile. makefile.",
}

// folders are folders with all that is in them.
var folders = map[Kind]string{
	Hook:   ".githooks .git-hooks .husky .lefthook",
	Shell:  ".direnv/bin .mise .config/autostart .config/systemd .ipython/profile_default fish/conf.d",
	Editor: ".vscode .idea .fleet .zed .nvim .vim .devcontainer .settings .externaltoolbuilders nbproject",
	Agent: ".claude .codex .cursor .gemini .windsurf .clinerules .roo .continue .kiro .amazonq .junie .opencode .trae " +
		".agents .agent .goose .augment .qwen .crush .aider .github/instructions .github/prompts .github/chatmodes " +
		".github/agents .github/skills",
	Package: ".mvn .yarn/releases .yarn/plugins buildsrc",
	CI:      ".github .gitlab .circleci .buildkite .forgejo .gitea .teamcity .woodpecker .semaphore",
	Program: ".bin .venv/bin venv/bin env/bin .venv/scripts venv/scripts bin sbin .local/bin vendor/bin",
}

// table finds the kind of a name, or of a name with its folder.
type table map[string]Kind

func tableOf(lists map[Kind]string) table {
	t := table{}
	for kind, names := range lists {
		for name := range strings.FieldsSeq(names) {
			t[name] = kind
		}
	}
	return t
}

// find looks a path up, which is in lower case.
func (t table) find(name string) (Kind, bool) {
	dir, base := path.Split(name)
	if dir != "" {
		if kind, ok := t[path.Base(dir)+"/"+base]; ok {
			return kind, true
		}
	}
	kind, ok := t[base]
	return kind, ok
}

// rules are the tables, ready to be looked up.
type rules struct{ files, folders, endings, beginnings table }

func newRules() rules {
	return rules{tableOf(files), tableOf(folders), tableOf(endings), tableOf(beginnings)}
}

// file returns the kind of a file; "" is none.
func (r rules) file(name string) Kind {
	name = strings.ToLower(name)
	if kind, ok := r.files.find(name); ok {
		return kind
	}
	base := path.Base(name)
	for ending, kind := range r.endings {
		if strings.HasSuffix(base, ending) {
			return kind
		}
	}
	for beginning, kind := range r.beginnings {
		if strings.HasPrefix(base, beginning) {
			return kind
		}
	}
	if strings.HasSuffix(base, ".toml") {
		return Manifest // if it is one
	}
	return ""
}

// folder returns the kind of what is in a folder; "" is none.
func (r rules) folder(name string) Kind {
	kind, _ := r.folders.find(strings.ToLower(name))
	return kind
}
