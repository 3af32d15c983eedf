>>> postgres: =read
SELECT n.nspname as "Schema", c.relname as "Name", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as "Type", pg_catalog.pg_get_userbyid(c.relowner) as "Owner" FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2;
>>> postgres: =read
SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(orders)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3;
>>> postgres: =read
SELECT c.relchecks, c.relkind, c.relhasindex, false AS relhasoids, c.relispartition, '', c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, am.amname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid) LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid) WHERE c.oid = '16385';
>>> postgres: =read
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull, (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation FROM pg_catalog.pg_attribute a WHERE a.attrelid = '16385' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
>>> postgres: =read
SELECT d.datname as "Name", pg_catalog.pg_get_userbyid(d.datdba) as "Owner", pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding", pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges" FROM pg_catalog.pg_database d ORDER BY 1;
>>> postgres: =read
select o.n, p.partstrat, pg_catalog.count(i.inhparent) from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on (n.oid = c.relnamespace) cross join lateral (select pg_catalog.array_position(pg_catalog.current_schemas(true), n.nspname)) as o(n) left join pg_catalog.pg_partitioned_table as p on (p.partrelid = c.oid) left join pg_catalog.pg_inherits as i on (c.oid = i.inhparent) where c.relname = 'pgbench_accounts' and o.n is not null group by 1, 2 order by 1 asc limit 1
>>> postgres: =read
SELECT abalance FROM pgbench_accounts WHERE aid = 1234;
>>> postgres: =read
select pg_catalog.version()
>>> postgres: =read
SHOW TRANSACTION ISOLATION LEVEL
>>> postgres: =transaction
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
>>> postgres: =read
SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid WHERE typname = 'hstore';
>>> postgres: =read
SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype, typdelim AS delimiter FROM pg_type t WHERE t.oid = to_regtype($1) ORDER BY t.oid
>>> postgres: =read
WITH RECURSIVE typeinfo_tree(oid, ns, name, kind, basetype, elemtype, elemdelim, depth) AS (SELECT ti.oid, ti.ns, ti.name, ti.kind, ti.basetype, ti.elemtype, ti.elemdelim, 0 FROM (SELECT t.oid AS oid, ns.nspname AS ns, t.typname AS name, t.typtype AS kind, (CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE NULL END) AS basetype, t.typelem AS elemtype, elem_t.typdelim AS elemdelim FROM pg_catalog.pg_type AS t INNER JOIN pg_catalog.pg_namespace ns ON (ns.oid = t.typnamespace) LEFT JOIN pg_type elem_t ON (t.typlen = -1 AND t.typelem != 0 AND t.typelem = elem_t.oid)) AS ti WHERE ti.oid = any($1::oid[]) UNION ALL SELECT ti.oid, ti.ns, ti.name, ti.kind, ti.basetype, ti.elemtype, ti.elemdelim, tt.depth + 1 FROM pg_type ti, typeinfo_tree tt WHERE (tt.elemtype IS NOT NULL AND ti.oid = tt.elemtype)) SELECT DISTINCT *, basetype::regtype::text AS basetype_name FROM typeinfo_tree ORDER BY depth DESC
>>> postgres: =read
SELECT current_schema(), current_database(), session_user, pg_backend_pid(), inet_server_addr()
>>> postgres: =read
SELECT "auth_user"."id", "auth_user"."email" FROM "auth_user" WHERE ("auth_user"."is_active" AND UPPER("auth_user"."email"::text) LIKE UPPER('%a%')) ORDER BY "auth_user"."id" ASC LIMIT 21 OFFSET 42
>>> postgres: =read
select date_trunc('month', placed at time zone 'utc') as m, percentile_cont(0.5) within group (order by total), count(*) filter (where total > 5) from orders group by rollup (1) having sum(total) > 1 order by m nulls last fetch first 5 rows only
>>> postgres: =read
select x.* from jsonb_to_recordset('[]') as x (a int, b text), unnest(array[1,2]) with ordinality as u (v, n), json_each_text('{}')
>>> postgres: =read
select id, total, lag(total, 1) over w, sum(total) over (partition by customer order by id rows between unbounded preceding and current row) from orders window w as (order by id)
>>> postgres: =read
select * from orders where (id, customer) in (select id, customer from old) and placed >= current_date - interval '7 days' and note ~* 'x' and total is distinct from 3 and tags @> array['a']::text[]
>>> postgres: =transaction
BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE
>>> postgres: =session
SET datestyle TO 'ISO'
>>> postgres: =read
select 1 as "one"; select 2
>>> mysql: =read
/* mysql-connector-java-8.0.33 (Revision: 7d6b0800528b6b25c68b52dc10d6c1c8429c100c) */SELECT  @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, @@session.transaction_isolation AS transaction_isolation
>>> mysql: =session
SET character_set_results = NULL
>>> mysql: =session
SET autocommit=1
>>> mysql: =session
set session transaction_isolation = 'READ-COMMITTED'
>>> mysql: =transaction
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
>>> mysql: =read
SHOW VARIABLES LIKE 'sql_mode'
>>> mysql: =read
SELECT DATABASE(), USER(), LAST_DAY(NOW()), VERSION(), CONNECTION_ID()
>>> mysql: =read
SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'VIEW')
>>> mysql: =read
SELECT SQL_CALC_FOUND_ROWS DISTINCT o.id, COUNT(*) AS n, IFNULL(o.note, '') FROM orders o FORCE INDEX (PRIMARY) LEFT JOIN customers c USING (id) WHERE o.id BETWEEN 1 AND 9 AND c.name REGEXP '^a' AND o.data->>'$.a' = 'x' GROUP BY o.id WITH ROLLUP HAVING n > 1 ORDER BY n DESC LIMIT 5 OFFSET 2
>>> mysql: =read
select row_number() over (partition by a order by b) as n from t where match (title, body) against ('x' in boolean mode)
>>> mysql: =read
SHOW FULL TABLES FROM `shop` LIKE 'or%'
>>> mysql: =read
SHOW CREATE TABLE `orders`
