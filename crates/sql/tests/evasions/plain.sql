>>> postgres: =read
select id, name from orders where id = $1 and note like 'x%' order by 2 limit 10
>>> postgres: =read
select count(*), max(o.total) from public.orders o join customers c on c.id = o.customer group by c.id having count(*) > 3
>>> postgres: =read
with recent as (select * from orders where placed > now() - interval '1 day') select r.id, lower(r.note) from recent r
>>> postgres: =read
select extract(year from placed), coalesce(a, b), cast(x as numeric(10,2)), y::text, date '2020-01-01', array[1,2], row_number() over (partition by a order by b) from t
>>> postgres: =read
select case when a > 1 then 'x' else 'y' end, exists (select 1 from t), a in (1,2,3), b between 1 and 2, trim(both ' ' from c), substring(c from 1 for 2), position('a' in c) from t
>>> postgres: =read
select * from (values (1, 'a'), (2, 'b')) as v(id, name)
>>> postgres: =read
select a.id, b.x from a left join lateral (select x from b where b.id = a.id limit 1) b on true
>>> postgres: =read
values (1, 2), (3, 4)
>>> postgres: =read
table orders
>>> postgres: =read
select data->>'name', data @> '{"a":1}', tags && array['x'] from docs
>>> postgres: =read
select generate_series(1, 10), string_agg(name, ',' order by name) filter (where id > 1) from t
>>> postgres: =read
(select 1) union all (select 2) order by 1
>>> postgres: =nothing
 /* nothing */ ; -- at all
>>> postgres: =nothing

>>> postgres: =read
show server_version
>>> postgres: =session
set application_name = 'psql'
>>> postgres: =session
SET TIME ZONE 'UTC'
>>> postgres: =session
SET extra_float_digits = 3
>>> postgres: =session
set client_encoding to 'UTF8'
>>> postgres: =transaction
begin
>>> postgres: =transaction
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY
>>> postgres: =transaction
commit
>>> postgres: =transaction
rollback to savepoint x
>>> postgres: =write
insert into orders (id, name) values ($1, $2) on conflict (id) do update set name = excluded.name returning id
>>> postgres: =write
update orders set name = upper(name) where id = 1
>>> postgres: =write
delete from orders where id in (select id from old_orders)
>>> postgres: =write
merge into t using s on t.id = s.id when matched then update set a = s.a when not matched then insert (id, a) values (s.id, s.a)
>>> postgres: =ddl
create table t (id int primary key, name varchar(10) default 'x')
>>> postgres: =ddl
create index concurrently i on t (lower(name))
>>> postgres: =copy-in+write
copy orders (id, name) from stdin with (format csv)
>>> postgres: =read+copy-out
copy (select id from orders) to stdout
>>> postgres: =read+copy-out
copy public.orders to stdout (format binary)
>>> mysql: =read
SELECT `id`, name FROM `shop`.`orders` WHERE id = ? AND note LIKE "x%" ORDER BY 2 LIMIT 10, 20
>>> mysql: =read
select count(*), group_concat(distinct name order by name separator ', ') from orders group by day(placed)
>>> mysql: =read
select @@version_comment limit 1
>>> mysql: =read
select if(a > 1, 'x', 'y'), ifnull(b, 0), date_add(c, interval 1 day), cast(d as unsigned), 'a' 'b' from t
>>> mysql: =read
show full columns from orders
>>> mysql: =read
SELECT /*!40001 SQL_NO_CACHE */ * FROM `orders`
>>> mysql: =read
describe orders
>>> mysql: =session
SET NAMES utf8mb4
>>> mysql: =session
SET AUTOCOMMIT = 0
>>> mysql: =session
SET sql_mode='STRICT_TRANS_TABLES', character_set_results = NULL
>>> mysql: =session
SET sql_mode=concat(@@sql_mode,',STRICT_TRANS_TABLES')
>>> mysql: =write
insert into t (a, b) values (1, 2), (3, 4) on duplicate key update a = values(a)
>>> mysql: =write
replace into t values (1)
>>> mysql: =write
update a join b on a.id = b.id set a.x = b.x where b.y = 1
>>> mysql: =transaction
START TRANSACTION READ ONLY
>>> mariadb: =read
select * from t1 natural join t2
