// What a service written against node-zookeeper-client expects of its server. Takes the connect string.
'use strict';

const assert = require('node:assert');
const { promisify } = require('node:util');
const zookeeper = require('node-zookeeper-client');

const { CreateMode, Event, Exception, ACL, Id, Permission } = zookeeper;
const LIMIT_MS = 20000;

function check(what, holds) {
  assert.ok(holds, what);
  console.log('ok', what);
}

/** Resolves with what a watcher is told first; rejects when that takes too long. */
function watch() {
  const told = {};
  told.event = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no event came')), LIMIT_MS);
    told.watcher = (event) => {
      clearTimeout(timer);
      resolve(event);
    };
  });
  return told;
}

function connect(address) {
  return new Promise((resolve, reject) => {
    const client = zookeeper.createClient(address, { sessionTimeout: 10000 });
    const timer = setTimeout(() => reject(new Error('no session')), 30000);
    client.once('connected', () => {
      clearTimeout(timer);
      const names = ['create', 'exists', 'remove', 'setData', 'setACL'];
      const zk = Object.fromEntries(names.map((name) => [name, promisify(client[name].bind(client))]));
      // These call back with more than one result.
      const several = (name) => (...args) => new Promise((done, failed) => {
        client[name](...args, (error, ...results) => (error ? failed(error) : done(results)));
      });
      resolve({ client, ...zk, getData: several('getData'), getChildren: several('getChildren'), getACL: several('getACL') });
    });
    client.connect();
  });
}

async function fails(what, code, promise) {
  const error = await promise.then(() => null, (reason) => reason);
  check(`${what} (${error && error.getName ? error.getName() : error})`, error && error.getCode && error.getCode() === code);
}

async function told(what, watching, type, path) {
  const event = await watching.event;
  check(`${what}: ${event.getName()} ${event.getPath()}`, event.getType() === type && event.getPath() === path);
}

async function nodes(zk, root) {
  check('create returns the path', (await zk.create(root, Buffer.from('root'))) === root);
  await fails('create refuses what exists', Exception.NODE_EXISTS, zk.create(root));
  const [data, stat] = await zk.getData(root);
  check('getData returns the data', data.toString() === 'root' && stat.version === 0);
  const changed = await zk.setData(root, Buffer.from('changed'), 0);
  check('setData returns the new version', changed.version === 1);
  await fails('setData refuses an old version', Exception.BAD_VERSION, zk.setData(root, Buffer.from('x'), 0));
  check('a read sees the write', (await zk.getData(root))[0].toString() === 'changed');
  const first = await zk.create(`${root}/seq-`, CreateMode.PERSISTENT_SEQUENTIAL);
  const second = await zk.create(`${root}/seq-`, CreateMode.PERSISTENT_SEQUENTIAL);
  check('sequence numbers rise', first < second);
  const [children] = await zk.getChildren(root);
  check('all children are listed', children.length === 2);
  await fails('a parent is not deleted', Exception.NOT_EMPTY, zk.remove(root, -1));
  check('exists knows what is not there', (await zk.exists(`${root}/nothing`)) == null);
  const big = Buffer.alloc(600000, 7);
  await zk.create(`${root}/big`, big);
  check('600 kB come back', (await zk.getData(`${root}/big`))[0].equals(big));
}

async function watches(zk, other, root) {
  const path = `${root}/watched`;
  const created = watch();
  const children = watch();
  await zk.exists(path, created.watcher);
  await zk.getChildren(root, children.watcher);
  await other.create(path, Buffer.from('1'));
  await told('an exists watch tells of the creation', created, Event.NODE_CREATED, path);
  await told('a child watch tells of the creation', children, Event.NODE_CHILDREN_CHANGED, root);
  const changed = watch();
  await zk.getData(path, changed.watcher);
  await other.setData(path, Buffer.from('2'), -1);
  await told('a data watch tells of the change', changed, Event.NODE_DATA_CHANGED, path);
  const deleted = watch();
  await zk.getData(path, deleted.watcher);
  await other.remove(path, -1);
  await told('a data watch tells of the deletion', deleted, Event.NODE_DELETED, path);
}

async function transactions(zk, root) {
  const commit = (batch) => new Promise((resolve) => {
    batch.commit((error, results) => resolve([error, results]));
  });
  const batch = zk.client.transaction();
  batch.create(`${root}/multi`, Buffer.from('1')).setData(`${root}/multi`, Buffer.from('2'), 0).check(`${root}/multi`, 1);
  const [error, results] = await commit(batch);
  check(`a multi has one result each (${error})`, !error && results.length === 3);
  const refused = zk.client.transaction();
  refused.remove(`${root}/multi`, -1).check(root, 99);
  const [reason] = await commit(refused);
  check('a multi with a wrong version fails', reason && reason.getCode() === Exception.BAD_VERSION);
  check('a failed multi changes nothing', await zk.exists(`${root}/multi`));
}

async function acls(zk, other, root) {
  const path = `${root}/private`;
  zk.client.addAuthInfo('digest', Buffer.from('ann:secret'));
  await zk.create(path, Buffer.from('mine'), ACL.CREATOR_ALL_ACL);
  const [entries] = await zk.getACL(path);
  check('the ACL names its creator', entries.length === 1 && entries[0].id.scheme === 'digest');
  await fails('a stranger does not read', Exception.NO_AUTH, other.getData(path));
  await zk.setACL(path, [new ACL(Permission.READ, Id.ANYONE_ID_UNSAFE)], -1);
  check('a stranger reads when the ACL says so', (await other.getData(path))[0].toString() === 'mine');
}

async function ephemerals(zk, other, root) {
  const path = `${root}/ephemeral`;
  await other.create(path, CreateMode.EPHEMERAL);
  const gone = watch();
  const stat = await zk.exists(path, gone.watcher);
  check('an ephemeral names its session', stat && stat.ephemeralOwner.equals(other.client.getSessionId()));
  other.client.close();
  await told('closing the session deletes it', gone, Event.NODE_DELETED, path);
}

async function main(address) {
  const [zk, other] = [await connect(address), await connect(address)];
  const root = `/node-${process.pid}-${Date.now()}`;
  await nodes(zk, root);
  await watches(zk, other, root);
  await transactions(zk, root);
  await acls(zk, other, root);
  await ephemerals(zk, other, root);
  zk.client.close();
  console.log('all is well');
}

main(process.argv[2]).then(() => process.exit(0), (error) => {
  console.log('FAILED', error);
  process.exit(1);
});
