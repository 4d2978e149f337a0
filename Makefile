# Makefile of the leadscore extension.
#
#   make                      build against the pg_config in PATH
#   make PG_CONFIG=/path/...  build against another server
#   make CC=clang             any of gcc and clang will do
#   make WERROR=1             warnings are errors (what ./test uses)
#   make with_llvm=no         no bitcode for the server's JIT
#   make install              honours DESTDIR
#   make installcheck         tests against a running server; ./test needs none
#
# A new file in src/, sql/, specs/ or t/ is picked up by its name.

MODULE_big = leadscore
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

EXTENSION = leadscore
DATA = $(sort $(wildcard leadscore--*.sql))
PGFILEDESC = "leadscore - lead scoring inside the database"

# The extension is there before each test starts, so every test also runs alone.
REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=leadscore --encoding=UTF8
ISOLATION = $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
ISOLATION_OPTS = --load-extension=leadscore
ifneq ($(wildcard t/*.pl),)
TAP_TESTS = 1
endif

EXTRA_CLEAN = tmp_check tmp_check_iso output_iso results regression.diffs regression.out

# What the server's conventions force: PG_FUNCTION_ARGS that a function does not
# use, lengthof() being unsigned, structs that grow with each server version.
# clang also meets gcc-only flags and attributes that the server was built with,
# and the casts of expression_tree_walker().
warnings_clang = -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-ignored-attributes -Wno-cast-function-type
PG_CFLAGS = -Wall -Wextra -Werror=implicit-function-declaration \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	$(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),$(warnings_clang)) \
	$(if $(filter-out 0,$(WERROR)),-Werror)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error no server to build against: install postgresql-server-dev, or name its pg_config with PG_CONFIG=)
endif

# A server built for LLVM wants bitcode, made by the very clang it names.
# Where that is not installed the extension does without.
server_clang := $(shell sed -n 's/^CLANG *= *//p' $(dir $(PGXS))../Makefile.global)
ifeq ($(shell command -v $(firstword $(server_clang) none) 2>/dev/null),)
override with_llvm = no
endif

include $(PGXS)

# Every room shares headers, and there are few of them: all depend on all.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h) Makefile
