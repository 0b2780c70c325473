# idem_import: see README.md for "make demo" and "make test"

EXTENSION    = idem_import
EXTVERSION  := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
MODULE_big   = $(EXTENSION)
OBJS         = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
PG_CPPFLAGS  = -I$(srcdir)/src
DATA         = $(wildcard sql/*--*--*.sql)
DATA_built   = sql/$(EXTENSION)--$(EXTVERSION).sql

# Tests live in test/, their expected output in ./expected.  With test/ as the
# output directory, pg_regress finds test/sql and test/specs first (so sql/ is
# never mistaken for tests), leaves its results under test/, and falls back to
# ./expected through --inputdir, on every server version.  A list that is empty
# must expand at once, because PGXS asks by ifdef.
REGRESS       := $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS   = --inputdir=. --outputdir=test --load-extension=$(EXTENSION)
ISOLATION     := $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=. --outputdir=test --load-extension=$(EXTENSION)
PROVE_TESTS   := $(sort $(wildcard test/t/*.pl))
TAP_TESTS     := $(if $(PROVE_TESTS),1)
EXTRA_CLEAN    = test/results test/output_iso test/log test/regression.diffs test/regression.out

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)

# PGXS as packaged tracks no header dependencies
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h)

$(DATA_built): sql/$(EXTENSION).sql $(EXTENSION).control
	cp $< $@
else
all install uninstall clean installcheck:
	@echo 'No PGXS at "$(PG_CONFIG) --pgxs": install the server headers (postgresql-server-dev-N), or set PG_CONFIG.' >&2
	@echo 'On Debian, "make demo" and "make test" install what they need.' >&2
	@exit 1
endif

# These need nothing but make: the scripts install the rest.
demo:
	@test/demo.sh

test:
	@test/run.sh

# on every supported version of PostgreSQL, as root
matrix:
	@test/matrix.sh

# against plain SQL; test/bench/bench.sh says what can be chosen
bench:
	@test/bench/bench.sh

.PHONY: all install uninstall clean installcheck demo test matrix bench
