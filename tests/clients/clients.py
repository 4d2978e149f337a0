"""Reads every view of the schema leadscore as a client of a kind does.

usage: clients.py KIND FOLDER

KIND is psycopg2, psycopg, sqlalchemy, odbc or psql; FOLDER has what expected.sql
wrote.  The server is where PGHOST, PGPORT, PGDATABASE and PGUSER say.  Prints the
lines of a check; ends with status 77 if what it takes is not installed.
"""
import csv
import datetime
import decimal
import os
import re
import sys
import time
import uuid
import warnings

kind, folder = sys.argv[1:]
complaints = []


def table(name):
    with open(os.path.join(folder, name), encoding='utf-8', newline='\n') as f:
        return list(csv.reader(f, delimiter='\t', quoting=csv.QUOTE_NONE, lineterminator='\n'))


views = {name: (int(found), description) for name, found, description in table('views')}
columns = {}
for view, name, type_name, description in table('columns'):
    columns.setdefault(view, []).append((name, type_name, description))
filters = [(view, name, value, int(found)) for view, name, value, found in table('filters')]


def complain(text):
    complaints.append(text)


def same(what, found, wanted):
    if found != wanted:
        complain('%s: %r instead of %r' % (what, found, wanted))


def verdict(text):
    print('%sok - %s: %s' % ('not ' if complaints else '', kind, text))
    for c in complaints[:10]:
        print('#   ' + c.replace('\n', ' '))
    if len(complaints) > 10:
        print('#   and %d more' % (len(complaints) - 10))
    complaints.clear()


def size():
    return '%d columns of %d views' % (sum(len(c) for c in columns.values()), len(views))


def q(name):
    return '"%s"' % name.replace('"', '""')


# what python makes of a value of a type
python_types = {
    'text': str, 'int4': int, 'int8': int, 'bool': bool, 'float8': float, 'numeric': decimal.Decimal,
    'date': datetime.date, 'timestamptz': datetime.datetime, 'interval': datetime.timedelta, 'uuid': uuid.UUID,
}


def check_values(view, rows, types):
    """rows, each a sequence, are all rows of the view, of these python types."""
    same('rows of ' + view, len(rows), views[view][0])
    for n, (name, type_name, _) in enumerate(columns[view]):
        for row in rows:
            if row[n] is not None and type(row[n]) is not types.get(type_name):
                complain('%s.%s, %s: %r' % (view, name, type_name, row[n]))
                break


def check_filters(found_by):
    for view, name, value, found in filters:
        try:
            same('%s where %s = %r' % (view, name, value), found_by(view, name, value), found)
        except Exception as e:
            complain('%s where %s = %r: %s' % (view, name, value, e))
            reset()
    verdict('finds what a text column of a view is compared with (%d)' % len(filters))


def reset():
    pass


# ---- drivers ----------------------------------------------------------------------

def client_psycopg2():
    global reset
    import psycopg2
    import psycopg2.extras
    connection = psycopg2.connect('')
    cursor = connection.cursor()
    cursor.execute('SELECT oid, typname FROM pg_type')
    type_names = dict(cursor.fetchall())
    # uuids are text unless one asks for them
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    reset = connection.rollback
    for view in views:
        cursor.execute('SELECT * FROM leadscore.' + q(view))
        same(view, [(c.name, type_names[c.type_code]) for c in cursor.description], [c[:2] for c in columns[view]])
        check_values(view, cursor.fetchall(), python_types)
    verdict('reads ' + size())

    def found_by(view, name, value):
        cursor.execute('SELECT count(*) FROM leadscore.%s WHERE %s = %%s' % (q(view), q(name)), (value,))
        return cursor.fetchone()[0]
    check_filters(found_by)


def client_psycopg():
    global reset
    import psycopg
    connection = psycopg.connect('')
    reset = connection.rollback
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        for view in views:
            cursor.execute('SELECT * FROM leadscore.' + q(view))
            same(view, [(c.name, psycopg.adapters.types[c.type_code].name) for c in cursor.description], [c[:2] for c in columns[view]])
            check_values(view, cursor.fetchall(), python_types)
        verdict('reads %s, %s' % (size(), 'binary' if binary else 'as text'))

    def found_by(view, name, value):
        # psycopg 3 sends strings with no type, unless told; and prepares what it is to prepare
        found = {connection.execute('SELECT count(*) FROM leadscore.%s WHERE %s = %s' % (q(view), q(name), how), (value,), prepare=True).fetchone()[0]
                 for how in ('%s', '%b', '%t', '%s::text')}
        return found.pop() if len(found) == 1 else found
    check_filters(found_by)


def client_sqlalchemy():
    import sqlalchemy
    import psycopg2  # noqa: F401
    import sqlalchemy.dialects.postgresql as dialect
    from sqlalchemy import types
    # it calls an unknown type NullType and warns
    warnings.simplefilter('error', sqlalchemy.exc.SAWarning)
    warnings.simplefilter('ignore', DeprecationWarning)
    classes = {
        'text': types.TEXT, 'int4': types.INTEGER, 'int8': types.BIGINT, 'bool': types.BOOLEAN, 'float8': dialect.DOUBLE_PRECISION,
        'numeric': types.NUMERIC, 'date': types.DATE, 'timestamptz': dialect.TIMESTAMP, 'interval': dialect.INTERVAL, 'uuid': dialect.UUID,
    }
    engine = sqlalchemy.create_engine('postgresql+psycopg2://')
    inspector = sqlalchemy.inspect(engine)
    same('views', set(inspector.get_view_names(schema='leadscore')), set(views))
    reflected = {}
    for view in views:
        try:
            same(view + ': comment', inspector.get_table_comment(view, schema='leadscore')['text'], views[view][1])
            same(view, [(c['name'], type(c['type']), c['comment']) for c in inspector.get_columns(view, schema='leadscore')],
                 [(name, classes.get(t), description) for name, t, description in columns[view]])
            reflected[view] = sqlalchemy.Table(view, sqlalchemy.MetaData(), schema='leadscore', autoload_with=engine)
        except Exception as e:
            complain('%s: %s' % (view, e))
    verdict('reflects %s, with descriptions' % size())
    with engine.connect() as connection:
        for view, t in reflected.items():
            check_values(view, connection.execute(sqlalchemy.select(t)).fetchall(), dict(python_types, uuid=str if is_old(sqlalchemy) else uuid.UUID))
        verdict('reads ' + size())

        def found_by(view, name, value):
            t = reflected[view]
            return connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(t).where(t.c[name] == value)).scalar()
        check_filters(found_by)


def is_old(sqlalchemy):
    return sqlalchemy.__version__.startswith('1.')


def client_odbc():
    import pyodbc
    if 'PostgreSQL Unicode' not in pyodbc.drivers():
        raise ImportError
    connection = pyodbc.connect('Driver={PostgreSQL Unicode};Servername=%s;Port=%s;Database=%s;Username=%s' %
                                tuple(os.environ[v] for v in ('PGHOST', 'PGPORT', 'PGDATABASE', 'PGUSER')), autocommit=True)
    cursor = connection.cursor()
    # what the driver says of a type, and what python gets: it knows no intervals and
    # makes booleans 0 and 1
    kinds = {
        'text': (pyodbc.SQL_WLONGVARCHAR, str), 'int4': (pyodbc.SQL_INTEGER, int), 'int8': (pyodbc.SQL_BIGINT, int),
        'float8': (pyodbc.SQL_FLOAT, float), 'numeric': (pyodbc.SQL_NUMERIC, decimal.Decimal), 'date': (pyodbc.SQL_TYPE_DATE, datetime.date),
        'timestamptz': (pyodbc.SQL_TYPE_TIMESTAMP, datetime.datetime), 'uuid': (pyodbc.SQL_GUID, str),
        'bool': (pyodbc.SQL_VARCHAR, str), 'interval': (pyodbc.SQL_WVARCHAR, str),
    }
    same('views', {v.table_name for v in cursor.tables(schema='leadscore', tableType='VIEW').fetchall()}, set(views))
    for view in views:
        same(view, [(c.column_name, c.type_name, c.data_type) for c in cursor.columns(table=view, schema='leadscore').fetchall()],
             [(name, t, kinds.get(t, (None,))[0]) for name, t, _ in columns[view]])
        check_values(view, cursor.execute('SELECT * FROM leadscore.' + q(view)).fetchall(), {t: k[1] for t, k in kinds.items()})
        # the driver says that numbers have six digits behind the point
        numbers = [name for name, t, _ in columns[view] if t == 'numeric']
        if numbers:
            cursor.execute('SELECT %s FROM leadscore.%s' % (', '.join('%s, %s::text' % (q(n), q(n)) for n in numbers), q(view)))
            for row in cursor.fetchall():
                same(view, list(row[0::2]), [n if n is None else decimal.Decimal(n) for n in row[1::2]])
        # it shows no descriptions by itself
        same(view, cursor.execute("""SELECT obj_description(oid, 'pg_class') FROM pg_class
                                     WHERE relnamespace = 'leadscore'::regnamespace AND relname = ?""", view).fetchone()[0], views[view][1])
    verdict('reads ' + size())

    def found_by(view, name, value):
        return cursor.execute('SELECT count(*) FROM leadscore.%s WHERE %s = ?' % (q(view), q(name)), value).fetchone()[0]
    check_filters(found_by)


# ---- psql ---------------------------------------------------------------------------

class Terminal:
    """psql on a terminal, as one types at it."""

    def __init__(self):
        import fcntl
        import pty
        import struct
        import termios
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM='dumb', PSQL_PAGER='', PAGER='', INPUTRC='/dev/null', PSQL_HISTORY='/dev/null', EDITRC='/dev/null')
            os.execvp('psql', ['psql', '-X', '-q'])
        self.seen = ''
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', 50, 250, 0, 0))

    def wait_for(self, pattern, seconds=20):
        """Is the pattern printed, in what there was since the last prompt?"""
        import select
        end = time.time() + seconds
        while time.time() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode('utf-8', 'replace')
                except OSError:
                    return False
            # some line editors move the cursor and ring the bell
            if re.search(pattern, re.sub(r'[\x07\x08]|\x1b\[[0-9;?]*[A-Za-z]', '', self.seen)):
                return True
        return False

    def type(self, text):
        os.write(self.fd, text.encode())

    def completes(self, text, wanted):
        """After text, does the tabulator key lead to wanted?"""
        self.seen = ''
        self.type(text)
        self.wait_for(re.escape(text))
        for _ in range(2):
            self.type('\t')
            # with more than one choice the second time shows them
            if self.wait_for(re.escape(wanted), 5):
                break
        else:
            wanted = None
        self.seen = ''
        self.type('\x03')
        self.wait_for(r'=[#>] $', 5)
        return wanted is not None

    def close(self):
        import signal
        self.type('\\q\n')
        for _ in range(50):
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            time.sleep(0.1)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def client_psql():
    import subprocess

    def psql(*commands):
        words = ['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1']
        for c in commands:
            words += ['-c', c]
        run = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8')
        if run.returncode != 0:
            complain('%s: %s' % (commands, run.stdout))
        return run.stdout

    listed = psql(r'\dx+ leadscore').splitlines()
    for wanted in ('view leadscore.model_status', 'table leadscore.rule', 'type leadscore.lead_stage', 'function leadscore.doctor(text)'):
        if wanted not in listed:
            complain('no ' + wanted)
    verdict(r'\dx+ leadscore lists what belongs to it (%d objects)' % len(listed))

    shown = psql(r'\dv+ leadscore.*').splitlines()
    for view, (_, description) in views.items():
        line = [s for s in shown if s.startswith('leadscore|%s|view|' % view)]
        if len(line) != 1 or not line[0].endswith('|' + description):
            complain(r'\dv+ shows %s as %r' % (view, line))
        lines = psql(r'\d+ leadscore.%s' % view).splitlines()
        for name, _, description in columns[view]:
            line = [s for s in lines if s.startswith(name + '|')]
            if len(line) != 1 or not line[0].endswith('|' + description):
                complain(r'\d+ shows %s.%s as %r' % (view, name, line))
    verdict(r'\dv+ and \d+ describe ' + size())

    terminal = Terminal()
    try:
        if not terminal.wait_for(r'=[#>] $'):
            complain('no prompt')
        elif not terminal.completes('SELECT * FROM pg_catalog.pg_stat_activ', 'pg_stat_activity'):
            print('ok - psql: completion # SKIP skipped: psql completes nothing here')
            return
        for text, wanted in ((r'\df leadscore.explai', 'leadscore.explain'), (r'\sf leadscore.export_mo', 'leadscore.export_model'),
                             ('CALL leadscore.resc', 'leadscore.rescore'), ('SELECT * FROM leadscore.model_st', 'leadscore.model_status'),
                             ('SELECT * FROM leadscore.clients_sc', 'leadscore.clients_scored'), ('UPDATE leadscore.thresh', 'leadscore.threshold'),
                             (r'\df leads', 'leadscore.')):
            if not terminal.completes(text, wanted):
                complain('%s does not become %s' % (text, wanted))
    finally:
        terminal.close()
    verdict('the tabulator key completes names of functions, procedures, views and tables')


try:
    globals()['client_' + kind]()
except ImportError as e:
    print(e, file=sys.stderr)
    sys.exit(77)
