//! Likeness: of all states from which the same can follow, one is looked at. Instances have no names that matter, and
//! much of what they remember is moot.

use crate::set::{INSTANCES, Id, Set};
use crate::state::{Instance, Packed, Reign, State};

/// Forgets what nobody will ever ask for again. Not with mistakes planted: those ask for more.
pub fn simplify(state: &mut State) {
    let seals: [u8; INSTANCES] = std::array::from_fn(|id| state.instances[id].seal);
    let able = |member: Id, generation: u8| {
        state.instances[usize::from(member)].there && seals[usize::from(member)] <= generation
    };
    let reigns: [Option<Reign>; INSTANCES] = std::array::from_fn(|id| {
        let reign = state.instances[id].reign?;
        if state.holds(id as Id) {
            return Some(reign);
        }
        // It can change the register no more, and a seal is for ever: what it needs and cannot get it never gets.
        let required = reign.required();
        if !required.ids().all(|member| able(member, reign.generation)) {
            return Some(Reign {
                held: Set::all(),
                doubt: Set::default(),
                needed: 0,
                stored: [0; INSTANCES],
                ..reign
            });
        }
        let mut stored = reign.stored;
        (0..INSTANCES as Id).filter(|id| !required.contains(*id)).for_each(|id| stored[usize::from(id)] = 0);
        Some(Reign { held: required, doubt: Set::default(), needed: 0, stored, ..reign })
    });
    let frozen = state.register.master.is_none();
    for (id, reign) in reigns.iter().enumerate() {
        let instance = &mut state.instances[id];
        instance.reign = *reign;
        // Which seal it is matters only by whom it refuses.
        let refused = reigns.iter().flatten().map(|reign| reign.generation).filter(|old| *old < instance.seal);
        let least = refused.max().map_or(0, |old| old + 1);
        let proves = frozen && instance.seal >= state.register.generation;
        instance.seal = if proves { state.register.generation } else { least };
    }
}

/// Renames the instances in an order that does not depend on their names. Where the order leaves two alike that are
/// not, two states are looked at instead of one.
pub fn representative(state: State) -> State {
    let keys: [u64; INSTANCES] = std::array::from_fn(|id| key(&state, id));
    if keys.is_sorted() {
        return state;
    }
    let mut order: [usize; INSTANCES] = std::array::from_fn(|id| id);
    order.sort_by_key(|id| keys[*id]);
    let mut new = Names([0; INSTANCES]);
    order.iter().enumerate().for_each(|(after, before)| new.0[*before] = after as Id);
    let mut renamed = state.clone();
    for (after, before) in order.into_iter().enumerate() {
        renamed.instances[after] = new.instance(&state.instances[before]);
    }
    let register = &mut renamed.register;
    register.master = register.master.map(|id| new.id(id));
    register.previous = register.previous.map(|id| new.id(id));
    register.set = new.set(register.set);
    register.late = register.late.map(|set| new.set(set));
    renamed
}

/// Makes a key of what can be said of an instance without naming another.
fn key(state: &State, id: usize) -> u64 {
    let Instance { there, log, durable, seal, reign } = &state.instances[id];
    let (register, own) = (&state.register, id as Id);
    let place = u8::from(register.master != Some(own)) << 3
        | u8::from(register.previous != Some(own)) << 2
        | u8::from(!register.set.contains(own)) << 1
        | u8::from(!there);
    let packed = Packed::default().with(4, place).with(4, reign.map_or(0, |reign| reign.generation));
    let packed = packed.with(4, *seal).with(2, *durable).with(2, log.len());
    let packed = log.entries().iter().fold(packed, |packed, entry| packed.with(4, entry.generation));
    let packed = packed.with(1, u8::from(register.late.is_some_and(|set| set.contains(own))));
    let mut said = 0;
    for reign in state.instances.iter().filter_map(|other| other.reign) {
        let meant = u8::from(reign.held.contains(own)) | u8::from(reign.doubt.contains(own)) << 1;
        said |= u64::from(reign.stored[id] << 2 | meant) << (4 * (u32::from(reign.generation) % 8));
    }
    packed.0 << 32 | said
}

/// The new name of each.
struct Names([Id; INSTANCES]);

impl Names {
    fn id(&self, id: Id) -> Id {
        self.0[usize::from(id)]
    }

    fn set(&self, set: Set) -> Set {
        Set::of(set.ids().map(|id| self.id(id)))
    }

    fn instance(&self, instance: &Instance) -> Instance {
        Instance { reign: instance.reign.map(|reign| self.reign(&reign)), ..instance.clone() }
    }

    fn reign(&self, reign: &Reign) -> Reign {
        let mut stored = [0; INSTANCES];
        reign.stored.iter().enumerate().for_each(|(id, through)| stored[usize::from(self.0[id])] = *through);
        Reign { held: self.set(reign.held), doubt: self.set(reign.doubt), stored, ..*reign }
    }
}
