# Every target first installs what it needs from Debian, says so, and is idempotent.
#
#   make demo    a gate, three environments and three people on this machine; paste and see
#   make tour    the same, but the demo takes its own tour and says what happens
#   make test    everything that must hold, from formatting to the narrated tour
#   make test-s3 what speaks to S3-compatible storage, against a real server (needs Go, builds it once)
#   make console the console, built into web/dist; `make demo` does it by itself
#   make test-console  the console in a real browser, against a real node with real ssh clients
#   make bench   direct OpenSSH, ProxyJump and the gate side by side
#   make lint    formatting, clippy, layers, tidy: the fast part of the tests
#   make fuzz    the property tests again with far more cases (TIMES=20)
#   make deny    licences, bans, sources and advisories of the dependencies (ADVISORIES=skip where
#                the advisory database cannot be fetched)
#   make docs    the API documentation of the crates

BUILD  := rust build-essential
SERVER := openssh-server openssh-client postgresql
WEB    := nodejs npm
ARGS   ?=

# A fresh shell may not have read what rustup wrote to its profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help demo tour console test test-s3 test-console bench lint fuzz deny docs
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

demo:
	@scripts/ensure $(BUILD) openssh-server openssh-client cvc5 $(WEB)
	@scripts/console
	@cargo run --package portcullis-app --bin portcullis -- demo $(ARGS)

tour: ARGS += --tour
tour: demo

console:
	@scripts/ensure $(WEB)
	@scripts/console

test:
	@scripts/ensure $(BUILD) rustfmt clippy $(SERVER) mariadb-server asciinema cvc5 python3-paramiko util-linux procps \
		libnss-wrapper libpam-wrapper golang-go golang-golang-x-mod-dev \
		python3 rsyslog rsyslog-openssl rsyslog-gnutls
	@scripts/test

test-s3:
	@scripts/ensure $(BUILD)
	@scripts/test-s3

test-console:
	@scripts/ensure $(BUILD) openssh-server openssh-client cvc5 chromium $(WEB)
	@scripts/test-console

bench:
	@scripts/ensure $(BUILD) $(SERVER) cvc5 python3
	@scripts/bench $(ARGS)

lint:
	@scripts/ensure $(BUILD) rustfmt clippy
	@scripts/lint

fuzz:
	@scripts/ensure $(BUILD)
	@scripts/fuzz

deny:
	@scripts/ensure $(BUILD)
	@scripts/deny

docs:
	@scripts/ensure $(BUILD)
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	@echo "open target/doc/portcullis_domain/index.html"
