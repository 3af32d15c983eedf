>>> postgres: read+write
with gone as (delete from orders returning *) select * from gone
>>> postgres: write
with a as (select 1), b as (insert into t select * from a returning id) table b
>>> postgres: write
with a as materialized (update t set x = 1 returning *) select 1
>>> postgres: write
select * from (with d as (delete from t returning *) select * from d) x
>>> postgres: write
select 1 where exists (with d as (delete from t returning *) select 1 from d)
>>> postgres: write+ddl
select * into backup from orders
>>> postgres: write+ddl
select 1 as a into temp x
>>> postgres: write+ddl
with q as (select 1) select * into x from q
>>> postgres: write
select * from orders for update
>>> postgres: write
select * from orders for no key update of orders nowait
>>> postgres: write
select * from (select * from orders for share) x
>>> postgres: write
select * from orders for key share skip locked
>>> postgres: write
explain analyze delete from orders
>>> postgres: write
explain (analyze, buffers) insert into t values (1)
>>> postgres: write
explain (verbose, analyze on) update t set a = 1
>>> postgres: write
EXPLAIN ANALYZE VERBOSE with d as (delete from t returning *) select * from d
>>> postgres: =read+write
explain delete from orders
>>> postgres: =read
explain (costs off) select * from orders
>>> postgres: write
prepare p as delete from orders
>>> postgres: write
prepare p (int, text) as insert into t values ($1, $2)
>>> postgres: procedure
execute p
>>> postgres: procedure
explain analyze execute p
>>> postgres: write
declare c cursor with hold for select * from t for update
>>> postgres: =read+session
declare c no scroll cursor for select * from t
>>> postgres: =read
fetch 100 from c
>>> postgres: write
copy (delete from orders returning *) to stdout
>>> postgres: write
create table x as with d as (delete from t returning *) select * from d
>>> postgres: write+ddl
create table x as select * from orders
>>> postgres: write+ddl
create materialized view x as select 1; refresh materialized view x
>>> postgres: write
truncate orders
>>> postgres: write
lock table orders in access exclusive mode
>>> postgres: write
notify channel, 'text'
>>> postgres: write
select nextval('orders_id_seq')
>>> postgres: write
select setval('orders_id_seq', 1) from t
>>> mysql: write
select * from orders for update
>>> mysql: write
select * from orders lock in share mode
>>> mysql: write
with a as (select 1) delete from t where id in (select * from a)
>>> mysql: write
with a as (select 1) update t, a set t.x = 1
>>> mysql: write
explain analyze delete from t
>>> mysql: =read+write
explain format=json delete from t
>>> mariadb: write
analyze format=json update t set a = 1
>>> mariadb: write
analyze delete from t
>>> mariadb: write
select next value for s
>>> mariadb: write
select nextval(s)
>>> mysql: write
lock tables t write
>>> mysql: unknown
handler t open; lock tables t write
>>> mysql: unknown
handler t read first
>>> mysql: session
select a into @x from t
>>> mysql: session
select @x := 1
>>> mysql: =ddl+write
create table x select a from t
>>> mysql: ddl+write+procedure
create table x as select my_function(a) from t
