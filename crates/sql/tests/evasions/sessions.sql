>>> postgres: privilege
set role postgres
>>> postgres: privilege
SET LOCAL ROLE postgres
>>> postgres: privilege
set session role 'postgres'
>>> postgres: privilege
set session authorization postgres
>>> postgres: privilege
SET SESSION SESSION AUTHORIZATION DEFAULT
>>> postgres: privilege
reset role
>>> postgres: privilege
reset session authorization
>>> postgres: confinement
set default_transaction_read_only = off
>>> postgres: confinement
set "default_transaction_read_only" to off
>>> postgres: confinement
set session transaction_read_only = 0
>>> postgres: confinement
set transaction read write
>>> postgres: confinement
set session characteristics as transaction read write
>>> postgres: confinement
begin transaction read write
>>> postgres: confinement
start transaction isolation level serializable, read /**/ write
>>> postgres: =transaction
set transaction isolation level serializable
>>> postgres: confinement
set search_path = evil, pg_catalog
>>> postgres: confinement
set schema 'evil'
>>> postgres: confinement
set row_security = off
>>> postgres: confinement
set session_replication_role = replica
>>> postgres: confinement
set standard_conforming_strings = off
>>> postgres: confinement
set client_encoding = 'SJIS'
>>> postgres: confinement
set names 'GBK'
>>> postgres: confinement
set statement_timeout = 0
>>> postgres: confinement
set my.variable = 1
>>> postgres: confinement
set local_preload_libraries = 'x'
>>> postgres: confinement
reset all
>>> postgres: confinement
discard all
>>> postgres: =session
discard plans
>>> postgres: server
alter system set work_mem = '1GB'
>>> postgres: privilege
alter role alice superuser
>>> postgres: privilege
alter role alice set default_transaction_read_only = off
>>> postgres: privilege
create user mallory superuser
>>> postgres: privilege
grant all on orders to mallory
>>> postgres: privilege
create schema s create table t (id int) grant all on t to mallory
>>> postgres: privilege
alter table t owner to mallory
>>> postgres: privilege
alter table t disable row level security
>>> postgres: privilege
alter default privileges grant all on tables to mallory
>>> postgres: privilege
reassign owned by a to b
>>> postgres: privilege
create or replace function f() returns int language sql security definer as 'select 1'
>>> postgres: privilege
create policy p on t using (true)
>>> postgres: privilege
security label on table t is 'x'
>>> postgres: server
copy t to program 'id'
>>> postgres: server
copy t from program 'cat /etc/passwd'
>>> postgres: server
copy (select 1) to '/tmp/x'
>>> postgres: server
copy t from '/etc/passwd'
>>> postgres: server
create extension dblink
>>> postgres: server
create server s foreign data wrapper postgres_fdw
>>> postgres: server
load 'library'
>>> postgres: server
checkpoint
>>> postgres: server
create subscription s connection 'x' publication p
>>> postgres: ddl
vacuum full orders
>>> postgres: ddl
comment on table t is 'x'
>>> postgres: =session
listen channel
>>> postgres: =session
unlisten *
>>> postgres: =session
deallocate all
>>> postgres: unknown
identify_system
>>> postgres: unknown
start_replication slot s logical 0/0
>>> mysql: privilege
set role all
>>> mysql: privilege
set password = 'x'
>>> mysql: privilege
grant all on *.* to 'mallory'@'%'
>>> mysql: privilege
create user mallory identified by 'x'
>>> mysql: privilege
create definer = root@localhost procedure p() select 1
>>> mysql: privilege
create sql security definer view v as select 1
>>> mysql: server
set global general_log = 1
>>> mysql: server
set @@global.general_log_file = '/var/www/x.php'
>>> mysql: server
set persist max_connections = 1
>>> mysql: server
set autocommit = 1, global read_only = 0
>>> mysql: confinement
set session transaction read write
>>> mysql: confinement
start transaction read write
>>> mysql: confinement
set transaction_read_only = 0
>>> mysql: confinement
set @@session.tx_read_only = 0
>>> mysql: confinement
set names gbk
>>> mysql: confinement
set character set big5
>>> mysql: confinement
set character_set_client = sjis
>>> mysql: confinement
set sql_mode = 'ANSI'
>>> mysql: confinement
set sql_mode = concat('ANSI', '_QUOTES')
>>> mysql: confinement
set @@sql_mode = @x
>>> mysql: confinement
set max_execution_time = 0
>>> mysql: confinement
set sql_log_bin = 0
>>> mysql: confinement
set foreign_key_checks = 0
>>> mariadb: confinement+write
set statement max_statement_time = 0 for delete from t
>>> mysql: server
change master to master_host = 'x'
>>> mysql: server
change replication source to source_host = 'x'
>>> mysql: server
start slave
>>> mysql: server
stop replica
>>> mysql: server
kill query 5
>>> mysql: server
shutdown
>>> mysql: server
flush tables with read lock
>>> mysql: server
install plugin x soname 'x.so'
>>> mysql: server
create function sys_exec returns int soname 'udf.so'
>>> mysql: server+copy-in+write
load data infile '/etc/passwd' into table t
>>> mysql: copy-in+write
load data local infile 'x' into table t
>>> mysql: copy-in+write
LOAD DATA LOW_PRIORITY LOCAL INFILE 'x' REPLACE INTO TABLE t (a, @b) SET c = my_function(@b)
>>> mysql: write
prepare s from 'delete from t'
>>> mysql: unknown
prepare s from @x
>>> mysql: unknown
prepare s from concat('del', 'ete from t')
>>> mysql: unknown
prepare s from 'del' 'ete from t'
>>> mysql: unknown
prepare s from 'select \'x\''
>>> mysql: procedure
execute s using @a
>>> mariadb: write
execute immediate 'delete from t'
>>> mariadb: unknown
execute immediate concat('delete', ' from t')
>>> mariadb: unknown
execute immediate 'execute immediate "execute immediate ''execute immediate `x`''"'
>>> mysql: =session
use shop
>>> mysql: write
xa start 'x'
>>> mysql: server
backup stage start
