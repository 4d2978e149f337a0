/*
 * Reads every view of the schema leadscore by way of node-postgres, as text and in
 * binary format.
 *
 * usage: node clients.js FOLDER
 *
 * FOLDER has what expected.sql wrote.  The server is where PGHOST, PGPORT, PGDATABASE
 * and PGUSER say.  Prints the lines of a check; ends with status 77 without pg.
 */
'use strict';
const fs = require('fs');
const path = require('path');
let pg;
try {
	pg = require('pg');
} catch (e) {
	console.error(e.message);
	process.exit(77);
}

const table = (name) => fs.readFileSync(path.join(process.argv[2], name), 'utf8').split('\n').slice(0, -1).map((l) => l.split('\t'));
const quoted = (name) => '"' + name.replace(/"/g, '""') + '"';

let complaints = [];
function same(what, found, wanted) {
	found = JSON.stringify(found);
	wanted = JSON.stringify(wanted);
	if (found !== wanted)
		complaints.push(`${what}: ${found} instead of ${wanted}`);
}
function verdict(text) {
	console.log(`${complaints.length ? 'not ' : ''}ok - node-postgres: ${text}`);
	complaints.slice(0, 10).forEach((c) => console.log('#   ' + c));
	complaints = [];
}

// What node-postgres makes of values as text.  int8 and numeric are more than its
// numbers can hold: strings.
const kindOf = (value) => value instanceof Date ? 'Date' : typeof value === 'object' ? value.constructor.name : typeof value;
const kinds = {
	text: 'string', int4: 'number', int8: 'string', float8: 'number', numeric: 'string', bool: 'boolean',
	date: 'Date', timestamptz: 'Date', interval: 'PostgresInterval', uuid: 'string',
};

// Its binary format is half done: whatever comes is taken for UTF-8, which numbers do
// not survive (pg 8; "Binary mode not supported yet" in pg-protocol).  So the server
// must be able to send it all, and texts must be right; the binary values of all types
// are checked with psycopg and pgjdbc.
const asItComes = {getTypeParser: () => (value) => value};

async function main() {
	const views = table('views');
	const columns = table('columns');
	const filters = table('filters');
	const client = new pg.Client();
	await client.connect();
	const typeNames = new Map((await client.query('SELECT oid::int, typname FROM pg_type')).rows.map((r) => [r.oid, r.typname]));

	for (const binary of [false, true]) {
		for (const [view, count] of views) {
			const mine = columns.filter((c) => c[0] === view);
			const texts = mine.filter((c) => c[2] === 'text').map((c) => quoted(c[1]));
			try {
				const r = await client.query(binary ?
					// named, since a query that is not prepared comes as text whatever is asked for
					{text: `SELECT v.*, json_build_array(${texts.join(', ')})::text FROM leadscore.${quoted(view)} v`, rowMode: 'array', binary, name: view, types: asItComes} :
					{text: `SELECT * FROM leadscore.${quoted(view)}`, rowMode: 'array'});
				same('rows of ' + view, r.rows.length, Number(count));
				mine.forEach((c, i) => {
					const f = r.fields[i];
					same(`${view}.${c[1]}`, [f.name, typeNames.get(f.dataTypeID), f.format], [c[1], c[2], binary ? 'binary' : 'text']);
					if (!binary)
						r.rows.filter((row) => row[i] !== null).forEach((row) => same(`${view}.${c[1]}, ${c[2]}`, kindOf(row[i]), kinds[c[2]]));
				});
				if (binary)
					r.rows.forEach((row) => same(view, row.filter((_, i) => i < mine.length && mine[i][2] === 'text'), JSON.parse(row[mine.length])));
			} catch (e) {
				complaints.push(`${view}: ${e.message}`);
			}
		}
		verdict(`reads ${columns.length} columns of ${views.length} views, ${binary ? 'binary' : 'as text'}`);
	}

	for (const [view, name, value, found] of filters) {
		try {
			const r = await client.query({
				name: `${view}.${name}`, text: `SELECT count(*) AS n FROM leadscore.${quoted(view)} WHERE ${quoted(name)} = $1`, values: [value],
			});
			same(`${view} where ${name} = ${value}`, String(r.rows[0].n), found);
		} catch (e) {
			complaints.push(`${view} where ${name} = ${value}: ${e.message}`);
		}
	}
	verdict(`prepared statements find what a text column is compared with (${filters.length})`);
	await client.end();
}

main().catch((e) => {
	console.log('not ok - node-postgres: ' + e.message);
	process.exit(1);
});
